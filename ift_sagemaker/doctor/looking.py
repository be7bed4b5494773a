"""Finding out: every call reads, each is asked once, and what cannot be had becomes an Unknown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

from ift_sagemaker.aws.account import Account, Decision
from ift_sagemaker.aws.client import AWSClient, Identity
from ift_sagemaker.aws.operations import (
    JUMPSTART_NEEDS,
    KEY_NEEDS,
    MAKE_BUCKET,
    ROLE,
    ROLE_NEEDS,
    RUN,
    Place,
    caller_needs,
)
from ift_sagemaker.catalog import find
from ift_sagemaker.catalog.images import training_image
from ift_sagemaker.catalog.models import FoundationModel
from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.catalog.weights import WeightsCache
from ift_sagemaker.contract.limits import quota_names
from ift_sagemaker.doctor.facts import (
    ABSENT,
    DENIED,
    NOT_OFFERED,
    UNREACHABLE,
    WRONG,
    Facts,
    Unknown,
)
from ift_sagemaker.doctor.permissions import example_of
from ift_sagemaker.errors import (
    AccessDeniedError,
    ConfigError,
    CredentialsError,
    IFTError,
    ModelNotFoundError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    ThrottledError,
    UnsupportedError,
)
from ift_sagemaker.plan.deployments.vllm import DEFAULT_INSTANCE_TYPE
from ift_sagemaker.plan.roads import road_of
from ift_sagemaker.plan.spec import Compute

T = TypeVar("T")
_KINDS: tuple[tuple[type[IFTError], str], ...] = (
    (ResourceNotFoundError, ABSENT),
    (AccessDeniedError, DENIED),
    (CredentialsError, DENIED),
    (UnsupportedError, NOT_OFFERED),
    (ServiceUnavailableError, UNREACHABLE),
    (ThrottledError, UNREACHABLE),
)
_ASSUMED = re.compile(r"arn:(?P<partition>[\w-]+):sts::\d{12}:assumed-role/(?P<name>[^/]+)/.+")
_ROOT = re.compile(r"arn:[\w-]+:iam::\d{12}:root")


@dataclass(frozen=True)
class Asked:
    """What is to be looked at. `machine` tells of the local AWS; None where jobs do not run on it."""

    target: str
    role: str | None
    bucket: str | None
    prices: PriceBook
    weights: WeightsCache
    today: date
    model_id: str | None = None
    compute: Compute = field(default_factory=Compute)
    endpoint_instance_type: str = DEFAULT_INSTANCE_TYPE
    machine: Callable[[], Mapping[str, Any]] | None = None

    @property
    def kms_key(self) -> str | None:
        return self.compute.output_kms_key or self.compute.volume_kms_key


def look(client: AWSClient, asked: Asked) -> tuple[Facts, Place | None]:
    """The facts, and where policies are to hold; None where account, region or role are not known."""
    found: dict[str, Any] = {
        "target": asked.target,
        "instance_type": asked.compute.instance_type,
        "endpoint_instance_type": asked.endpoint_instance_type,
        "spot": asked.compute.spot,
        "kms_key": asked.kms_key,
        "role_arn": asked.role,
        **_of_model(asked),
    }
    if asked.machine is not None:
        found["machine"] = _known(asked.machine)
    region = found["region"] = _known(lambda: client.region)
    if isinstance(region, Unknown):
        return Facts(**found), None
    found["image"] = _known(lambda: training_image(region))
    types = dict.fromkeys((asked.compute.instance_type, asked.endpoint_instance_type))
    found["prices"] = {name: asked.prices.find(name, region) for name in types}
    identity = found["identity"] = _known(client.identity)
    if isinstance(identity, Unknown):
        return Facts(**found), None
    return _of_account(client.account, identity, asked, found)


def _of_account(
    account: Account, identity: Identity, asked: Asked, found: dict[str, Any]
) -> tuple[Facts, Place | None]:
    bucket = asked.bucket or f"sagemaker-{identity.region}-{identity.account}"
    found |= {"bucket": bucket, "own_bucket": asked.bucket is not None, **_of_bucket(account, bucket)}
    training = quota_names(asked.compute.instance_type, spot=asked.compute.spot)[0]
    endpoint = quota_names(asked.endpoint_instance_type)[1]
    found["quotas"] = _known(lambda: account.quotas([training, endpoint]))
    place = None
    if asked.role:
        needs = {**ROLE_NEEDS, **(JUMPSTART_NEEDS if found.get("road") == "jumpstart" else {})}
        name = asked.role.rpartition("/")[2]
        seen = found["role"] = _known(lambda: account.role(name))
        arn = asked.role if isinstance(seen, Unknown) else seen.arn
        place = Place(_partition(identity), identity.region, identity.account, bucket, arn)
        if not isinstance(found["role"], Unknown):
            found["needs_of_role"] = _known(lambda: _needs_of_role(account, place, asked.kms_key, needs))
        else:
            found["needs_of_role"] = found["role"]
    caller = found["caller"] = _caller(account, identity)
    where = place or Place(_partition(identity), identity.region, identity.account, bucket, "")
    made = not found["own_bucket"] and isinstance(found["bucket_region"], Unknown)
    purposes = (RUN, MAKE_BUCKET) if made else (RUN,)
    found["needs_of_caller"] = _needs_of_caller(account, identity, caller, where, purposes)
    return Facts(**{**found, "caller": caller if isinstance(caller, str) else ""}), place


def _of_bucket(account: Account, bucket: str) -> dict[str, Any]:
    region = _known(lambda: account.bucket_region(bucket))
    if isinstance(region, Unknown):
        return {"bucket_region": region}
    return {
        "bucket_region": region,
        "public_access": _known(lambda: account.public_access_block(bucket)),
        "lifecycle": _known(lambda: tuple(account.lifecycle_rules(bucket))),
    }


def _of_model(asked: Asked) -> dict[str, Any]:
    if asked.model_id is None:
        return {}
    name = asked.model_id
    model: FoundationModel | Unknown = _known(lambda: find(name))
    if isinstance(model, Unknown):
        return {"model": model}
    there: FoundationModel = model
    try:
        road: str | Unknown = road_of(there, asked.today).route
    except UnsupportedError as error:
        road = Unknown(WRONG, error.message)
    pulled = road == "container" and asked.weights.find(there.model_id) is not None
    return {"model": there, "road": road, "weights_pulled": pulled}


def _needs_of_role(
    account: Account, place: Place, kms_key: str | None, needs: Mapping[str, tuple[str, ...]]
) -> tuple[Decision, ...]:
    decisions: list[Decision] = []
    for on, actions in needs.items():
        decisions += account.simulate(place.role, actions, place.resources(on, example_of(on)))
    if kms_key is not None:
        decisions += account.simulate(place.role, KEY_NEEDS, [_key_arn(kms_key, place)])
    return tuple(decisions)


def _key_arn(key: str, place: Place) -> str:
    """An id as the ARN that policies are asked about; an alias is left as it is given."""
    if key.startswith("arn:"):
        return key
    return f"arn:{place.partition}:kms:{place.region}:{place.account}:key/{key}"


def _caller(account: Account, identity: Identity) -> str | Unknown:
    """The ARN that the caller's policies hang on: an assumed role's has the path that the session's lacks."""
    assumed = _ASSUMED.fullmatch(identity.arn)
    if assumed is None:
        return identity.arn
    seen = _known(lambda: account.role(assumed["name"]))
    return seen if isinstance(seen, Unknown) else seen.arn


def _needs_of_caller(
    account: Account, identity: Identity, caller: str | Unknown, place: Place, purposes: tuple[str, ...]
) -> tuple[Decision, ...] | Unknown:
    if isinstance(caller, Unknown):
        return caller
    needs = caller_needs(*purposes)
    if not place.role:
        needs.pop(ROLE, None)
    asked = {on: (actions, place.resources(on, example_of(on))) for on, actions in needs.items()}
    if _ROOT.fullmatch(identity.arn):  # IAM simulates no root, which no policy of the account limits
        return tuple(
            Decision(action, resource, allowed=True)
            for actions, resources in asked.values()
            for action in actions
            for resource in resources
        )
    principal: str = caller
    answers = _known(
        lambda: [
            decision
            for actions, resources in asked.values()
            for decision in account.simulate(principal, actions, resources)
        ]
    )
    return answers if isinstance(answers, Unknown) else tuple(answers)


def _partition(identity: Identity) -> str:
    return identity.arn.split(":")[1]


def _known(ask: Callable[[], T]) -> T | Unknown:
    """What `ask` gives, or why it gives nothing; only our own errors are borne."""
    try:
        return ask()
    except (ConfigError, ModelNotFoundError) as error:
        return Unknown(WRONG, error.message)
    except IFTError as error:
        kind = next((kind for known, kind in _KINDS if isinstance(error, known)), WRONG)
        return Unknown(kind, error.message, str(getattr(error, "operation", "")))
