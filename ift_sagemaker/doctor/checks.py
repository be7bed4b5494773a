"""From facts to verdicts. Pure: no call, no clock, no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ift_sagemaker.aws.operations import Place
from ift_sagemaker.contract.limits import quota_names
from ift_sagemaker.doctor import permissions
from ift_sagemaker.doctor.facts import ABSENT, DENIED, NOT_ASKED, WRONG, Facts, Unknown
from ift_sagemaker.doctor.permissions import not_checked
from ift_sagemaker.doctor.report import MISSING, NOT_CHECKED, OK, WARNING, Check, DoctorReport

LOCAL = "local"
SCARCE_BYTES = 5_000_000_000
_SWITCHES = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def examine(facts: Facts, place: Place | None) -> DoctorReport:
    """The verdicts on what was found. `place` is None where account or role are not known."""
    checks = [_identity(facts), _region(facts)]
    if not isinstance(facts.identity, Unknown):
        checks += [
            permissions.role_exists(facts),
            permissions.trust(facts),
            permissions.may_pass(facts, place),
            permissions.caller_may(facts),
            permissions.role_may(facts),
            *_bucket(facts),
            *_quotas(facts),
        ]
    checks += [_image(facts), *_prices(facts), *_model(facts), *_machine(facts)]
    return DoctorReport(facts.target, tuple(checks))


def _identity(facts: Facts) -> Check:
    found = facts.identity
    if isinstance(found, Unknown):
        state = NOT_CHECKED if found.kind not in (DENIED, ABSENT) else MISSING
        remedy = "configure or refresh the credentials" if state == MISSING else ""
        return Check("identity", state, found.why or found.kind, remedy)
    return Check("identity", OK, f"{found.arn} in account {found.account}")


def _region(facts: Facts) -> Check:
    if isinstance(facts.region, Unknown):
        return Check("region", MISSING, facts.region.why, "set AWS_REGION or pass --region")
    return Check("region", OK, facts.region)


# -- bucket


def _bucket(facts: Facts) -> Iterator[Check]:
    region = facts.bucket_region
    if isinstance(region, Unknown):
        yield _no_bucket(facts, region)
        return
    yield _bucket_region(facts, region)
    yield _public_access(facts)
    yield _lifecycle(facts)


def _no_bucket(facts: Facts, unknown: Unknown) -> Check:
    name = f"s3://{facts.bucket}"
    if unknown.kind == ABSENT and not facts.own_bucket:
        return Check(
            "bucket", WARNING, f"{name} is not there", "nothing: the first run makes the default bucket"
        )
    if unknown.kind == ABSENT:
        return Check("bucket", MISSING, f"{name} is not there", f"make it: aws s3 mb {name}, or name another")
    if unknown.kind == DENIED:
        return Check(
            "bucket",
            MISSING,
            f"{name} refuses this identity: it belongs to another account, or s3:ListBucket is lacking",
            "name a bucket of your own account (--bucket), or see the caller's permissions",
        )
    return not_checked("bucket", unknown)


def _bucket_region(facts: Facts, region: str) -> Check:
    if not region:
        return not_checked("bucket", Unknown(NOT_ASKED, "the answer does not tell its region"))
    if region != facts.region:
        return Check(
            "bucket",
            MISSING,
            f"s3://{facts.bucket} lies in {region}, jobs run in {facts.region}",
            f"name a bucket in {facts.region}, or run in {region}: --region {region}",
        )
    return Check("bucket", OK, f"s3://{facts.bucket} in {region}, of this account")


def _public_access(facts: Facts) -> Check:
    name, found = "public access blocked", facts.public_access
    if isinstance(found, Unknown):
        return not_checked(name, found)
    switched_off = [switch for switch in _SWITCHES if not found.get(switch)]
    if not switched_off:
        return Check(name, OK, "all four switches of the bucket are on")
    switches = ",".join(f"{switch}=true" for switch in _SWITCHES)
    return Check(
        name,
        WARNING,
        f"the bucket itself does not set {', '.join(switched_off)} (the account may)",
        f"aws s3api put-public-access-block --bucket {facts.bucket} "
        f"--public-access-block-configuration {switches}",
    )


def _lifecycle(facts: Facts) -> Check:
    name, found = "unfinished uploads", facts.lifecycle
    if isinstance(found, Unknown):
        return not_checked(name, found)
    if any(_ends_uploads(rule) for rule in found):
        return Check(name, OK, "a lifecycle rule ends them")
    return Check(
        name,
        WARNING,
        "no lifecycle rule ends them: what a killed upload leaves is invisible and billed",
        "add a rule with AbortIncompleteMultipartUpload (infra/cloudformation/execution-role.yaml has one)",
    )


def _ends_uploads(rule: Mapping[str, Any]) -> bool:
    narrow = rule.get("Prefix") or (rule.get("Filter") or {}).get("Prefix")
    return rule.get("Status") == "Enabled" and "AbortIncompleteMultipartUpload" in rule and not narrow


# -- what a run takes


def _quotas(facts: Facts) -> Iterator[Check]:
    training, endpoint = (
        quota_names(facts.instance_type, spot=facts.spot)[0],
        quota_names(facts.endpoint_instance_type)[1],
    )
    for name, limit in (("training quota", training), ("endpoint quota", endpoint)):
        yield _quota(facts, name, limit)


def _quota(facts: Facts, name: str, limit: str) -> Check:
    if isinstance(facts.quotas, Unknown):
        return not_checked(name, facts.quotas)
    value = facts.quotas.get(limit)
    if value is None:
        return Check(name, NOT_CHECKED, f"Service Quotas lists no limit called '{limit}'")
    if value < 1:
        return Check(
            name,
            MISSING,
            f"'{limit}' is {value:g}",
            "ask for 1 or more: https://console.aws.amazon.com/servicequotas/home/services/sagemaker/quotas "
            f"(search for '{limit}'), or take another type",
        )
    return Check(name, OK, f"'{limit}' is {value:g}; what runs already counts against it")


def _image(facts: Facts) -> Check:
    if isinstance(facts.image, Unknown):
        if facts.image.kind == WRONG:
            return Check("AWS's image", MISSING, facts.image.why, "take another region")
        return not_checked("AWS's image", facts.image)
    return Check("AWS's image", OK, facts.image)


def _prices(facts: Facts) -> Iterator[Check]:
    if facts.target == LOCAL:
        yield Check("price", OK, "nothing is billed on this machine")
        return
    for instance_type, price in facts.prices.items():
        name = f"price of {instance_type}"
        if price is None:
            yield Check(
                name,
                WARNING,
                "no price known in this region, so max_cost cannot be kept",
                "state one in a price file (IFT_PRICES, docs/how-to/configure.md)",
            )
        else:
            yield Check(name, OK, f"{price.usd_per_hour:g} USD an hour ({price.origin})")


def _model(facts: Facts) -> Iterator[Check]:
    model = facts.model
    if isinstance(model, Unknown):
        state = MISSING if model.kind == WRONG else NOT_CHECKED
        yield Check(
            "model", state, model.why or "no model is named", "" if state == MISSING else "--model ID"
        )
        return
    if isinstance(facts.road, Unknown):
        yield Check("model", MISSING, facts.road.why)
    else:
        yield Check("model", OK, f"{model.model_id} by route {facts.road}")
    if model.gated:
        where = f"; its terms: {model.eula}" if model.eula else ""
        yield Check(
            "licence",
            WARNING,
            f"{model.model_id} is gated{where}",
            "read it, then give --accept-eula; that the organisation denies gated models "
            "(sagemaker:DirectGatedModelAccess) cannot be seen from here",
        )
    else:
        yield Check("licence", OK, f"not gated{f' ({model.licence})' if model.licence else ''}")
    if facts.road == "container":
        yield _weights(facts, model.model_id)


def _weights(facts: Facts, model_id: str) -> Check:
    if facts.weights_pulled:
        return Check("weights", OK, "on this machine")
    return Check(
        "weights", WARNING, "not on this machine yet", f"ift models pull {model_id} (`ift train` does it)"
    )


# -- this machine


def _machine(facts: Facts) -> Iterator[Check]:
    if facts.target != LOCAL:
        return
    found = facts.machine
    if isinstance(found, Unknown):
        yield not_checked("this machine", found)
        return
    runner = str(found["runner"])
    if runner.startswith("none"):
        yield Check(
            "runner", MISSING, runner.removeprefix("none: "), "set IFT_LOCAL_RUNNER, or install what it needs"
        )
    elif runner == "process":
        yield Check(
            "runner",
            WARNING,
            "process: programs run as this user, without isolation",
            "install bubblewrap (bwrap), or set IFT_LOCAL_RUNNER to podman or docker",
        )
    else:
        yield Check("runner", OK, runner)
    yield Check(
        "engines", OK, ", ".join(found["engines"]) or "none answers; images are run by our own program"
    )
    yield _disk(found)
    yield _running(found)


def _disk(found: Mapping[str, Any]) -> Check:
    free, root = int(found["free_bytes"]), found["root"]
    told = f"{free / 1e9:.1f} GB free for {root}"
    if free < SCARCE_BYTES:
        return Check(
            "disk", WARNING, told, "free some space: weights, checkpoints and models are copies of a model"
        )
    return Check("disk", OK, told)


def _running(found: Mapping[str, Any]) -> Check:
    running = [f"{name} ({state})" for name, state in found["running"].items()]
    return Check("what runs", OK, ", ".join(running) or "nothing")
