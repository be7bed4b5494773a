"""Every rule that rests on state is kept once and broken once, on a local AWS of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import date
from importlib import import_module
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.aws.errors import classify
from ift_sagemaker.contract.state_rules import STATE_RULES, StateRule
from ift_sagemaker.contract.wordings import MISSING, OTHERS, TAKEN, Wording
from ift_sagemaker.errors import (
    CredentialsError,
    RequestRejectedError,
    ResourceInUseError,
    ResourceNotFoundError,
    ThrottledError,
)
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.transport import session_on
from ift_sagemaker.local.state.resources import ENDPOINT, TRAINING_JOB
from ift_sagemaker.local.supervision.leases import acquire, lease_path
from ift_sagemaker.local.weather.profile import Weather
from tests.unit.local.machine import WORKING, LocalAWS, archive, channel, refusal
from tests.unit.local.weather.conftest import NOTHING, ONCE

Story = Callable[[LocalAWS], Any]


class Example(NamedTuple):
    """`keeps` is accepted; `breaks` gives the code and message of the refusal."""

    keeps: Story
    breaks: Callable[[LocalAWS], tuple[str, str]]
    wording: Wording | str


def _job(aws: LocalAWS, name: str = "j", status: str = "Completed") -> None:
    arn = aws.settings.arn("sagemaker", f"training-job/{name}")
    now = aws.context.clock()
    times = {"CreationTime": now, "LastModifiedTime": now}
    document = {"TrainingJobName": name, "TrainingJobArn": arn, "TrainingJobStatus": status, **times}
    document["ResourceConfig"] = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1}
    aws.store.insert(TRAINING_JOB, name, {**document, "SecondaryStatus": status, "_tags": []})


def _endpoint(aws: LocalAWS, status: str, name: str = "end") -> None:
    arn = aws.settings.arn("sagemaker", f"endpoint/{name}")
    times = {"CreationTime": aws.context.clock(), "LastModifiedTime": aws.context.clock()}
    document = {"EndpointName": name, "EndpointArn": arn, "EndpointStatus": status, **times}
    document["_fleet"] = {"number": 1, "async": None, "variants": []}
    aws.store.insert(ENDPOINT, name, {**document, "_tags": [], "_runner": "process", "_programs": []})


def _model(aws: LocalAWS, name: str = "m") -> None:
    aws.register_server()
    aws.create_model(name, ModelDataUrl=None)


def _config(aws: LocalAWS, name: str = "m") -> None:
    with suppress(ClientError):
        _model(aws, name)
    aws.create_config(name)


def _alive(aws: LocalAWS, kind: str, name: str, ask: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """What is answered while somebody supervises the resource."""
    lease = acquire(lease_path(aws.root, kind, name))
    assert lease is not None
    try:
        return ask()
    finally:
        lease.release()


def _create_endpoint(aws: LocalAWS) -> tuple[str, str]:
    return refusal(aws.sagemaker.create_endpoint, EndpointName="end", EndpointConfigName="m")


def _after(*steps: Story) -> Story:
    def story(aws: LocalAWS) -> Any:
        return [step(aws) for step in steps][-1]

    return story


def _delete_job(aws: LocalAWS) -> None:
    aws.sagemaker.delete_training_job(TrainingJobName="j")


def _retrain(aws: LocalAWS) -> tuple[str, str]:
    aws.put("programs/j/main.py", "")
    return refusal(aws.sagemaker.create_training_job, **aws.request("j"))


def _without_input(aws: LocalAWS) -> tuple[str, str]:
    aws.put("programs/j/main.py", "")
    request = aws.request("j", channels=[channel("rows", "s3://bucket/nothing/")])
    return refusal(aws.sagemaker.create_training_job, **request)


def _delete_running(aws: LocalAWS) -> tuple[str, str]:
    _job(aws, status="InProgress")
    delete = aws.sagemaker.delete_training_job
    return _alive(aws, TRAINING_JOB, "j", lambda: refusal(delete, TrainingJobName="j"))


def _delete_creating(aws: LocalAWS) -> tuple[str, str]:
    _endpoint(aws, "Creating")
    delete = aws.sagemaker.delete_endpoint
    return _alive(aws, ENDPOINT, "end", lambda: refusal(delete, EndpointName="end"))


def _with_data(aws: LocalAWS) -> None:
    aws.put("models/m/model.tar.gz", archive({"x": b"1"}))
    aws.register_server()
    aws.create_model("m")


def _invoke(aws: LocalAWS) -> Any:
    aws.host()
    aws.settled()
    return aws.runtime.invoke_endpoint(EndpointName="end", Body=b"hello")


def _tag(aws: LocalAWS, count: int) -> dict[str, Any]:
    _job(aws)
    arn = aws.settings.arn("sagemaker", "training-job/j")
    half = [{"Key": f"k{n}", "Value": "v"} for n in range(40)]
    aws.sagemaker.add_tags(ResourceArn=arn, Tags=half)
    return {"ResourceArn": arn, "Tags": [{"Key": f"l{n}", "Value": "v"} for n in range(count - 40)]}


def _listed(aws: LocalAWS, **params: Any) -> tuple[int, bool]:
    for name, status in (("a", "Completed"), ("b", "Failed"), ("c", "Completed")):
        _job(aws, name, status)
    page = aws.sagemaker.list_training_jobs(MaxResults=2, SortBy="Name", **params)
    return len(page["TrainingJobSummaries"]), "NextToken" in page


def _whole_page(aws: LocalAWS) -> None:
    assert _listed(aws) == (2, True)


def _short_page(aws: LocalAWS) -> tuple[str, str]:
    assert _listed(aws, StatusEquals="Completed") == (1, True)
    return "", ""


def _under(aws: LocalAWS, weather: Weather) -> Any:
    session = session_on(create_app(aws.context, weather), aws.settings.region)
    return session.client("sagemaker", config=ONCE)


def _stale(aws: LocalAWS) -> tuple[str, str]:
    _config(aws)
    stale = _under(aws, replace(NOTHING, stale_read=3600)).create_endpoint
    return refusal(stale, EndpointName="end", EndpointConfigName="m")


def _hasty(aws: LocalAWS) -> tuple[str, str]:
    list_jobs = _under(aws, replace(NOTHING, list_calls_per_second=1)).list_training_jobs
    list_jobs()
    return refusal(list_jobs)


def _patient(aws: LocalAWS) -> None:
    _under(aws, replace(NOTHING, list_calls_per_second=2)).list_training_jobs()


def _train(aws: LocalAWS) -> None:
    aws.train("j", WORKING)


EXAMPLES: dict[str, Example] = {
    "training-name-taken": Example(_train, _after(_job, _retrain), TAKEN["training-job"]),
    "training-name-free-again": Example(
        _after(_job, _delete_job, _train), _after(_job, _retrain), TAKEN["training-job"]
    ),
    "training-inputs-exist": Example(_train, _without_input, OTHERS["no-input"]),
    "training-exists": Example(
        _after(_job, lambda aws: aws.job("j")),
        lambda aws: refusal(aws.sagemaker.describe_training_job, TrainingJobName="j"),
        MISSING["training-job"],
    ),
    "training-ended-before-delete": Example(_after(_job, _delete_job), _delete_running, "ResourceInUse"),
    "model-name-taken": Example(
        _model,
        _after(_model, lambda aws: refusal(aws.create_model, name="m", ModelDataUrl=None)),
        TAKEN["model"],
    ),
    "model-data-exist": Example(
        _with_data,
        _after(LocalAWS.register_server, lambda aws: refusal(aws.create_model, name="m")),
        OTHERS["no-model-data"],
    ),
    "config-name-taken": Example(
        _config,
        _after(_config, lambda aws: refusal(lambda: aws.create_config("m"))),
        TAKEN["endpoint-config"],
    ),
    "config-models-exist": Example(
        _config, lambda aws: refusal(lambda: aws.create_config("m")), MISSING["model"]
    ),
    "endpoint-name-taken": Example(
        lambda aws: aws.host(),
        _after(_config, lambda aws: _endpoint(aws, "Failed"), _create_endpoint),
        TAKEN["endpoint"],
    ),
    "endpoint-config-exists": Example(lambda aws: aws.host(), _create_endpoint, MISSING["endpoint-config"]),
    "endpoint-settled-before-delete": Example(
        _after(
            lambda aws: _endpoint(aws, "Failed"),
            lambda aws: aws.sagemaker.delete_endpoint(EndpointName="end"),
        ),
        _delete_creating,
        OTHERS["endpoint-in-progress"],
    ),
    "endpoint-exists-to-invoke": Example(
        _invoke,
        lambda aws: refusal(aws.runtime.invoke_endpoint, EndpointName="end", Body=b""),
        OTHERS["no-endpoint-to-invoke"],
    ),
    "tags-at-most-50": Example(
        lambda aws: aws.sagemaker.add_tags(**_tag(aws, 50)),
        lambda aws: refusal(aws.sagemaker.add_tags, **_tag(aws, 51)),
        "ValidationException",
    ),
    "status-after-cut": Example(_whole_page, _short_page, ""),
    "new-config-not-found": Example(lambda aws: aws.host(), _stale, MISSING["endpoint-config"]),
    "lists-throttled": Example(_patient, _hasty, OTHERS["throttled"]),
}
ENFORCED = [rule.id for rule in STATE_RULES if rule.place]


def test_every_enforced_rule_has_a_request_that_keeps_it_and_one_that_breaks_it() -> None:
    assert sorted(EXAMPLES) == sorted(ENFORCED)
    assert len({rule.id for rule in STATE_RULES}) == len(STATE_RULES)


@pytest.mark.parametrize("rule_id", ENFORCED)
def test_what_keeps_a_rule_is_accepted(rule_id: str, aws: LocalAWS) -> None:
    EXAMPLES[rule_id].keeps(aws)


@pytest.mark.parametrize("rule_id", ENFORCED)
def test_what_breaks_a_rule_is_refused_in_the_words_of_the_table(rule_id: str, aws: LocalAWS) -> None:
    wording = EXAMPLES[rule_id].wording
    code, message = EXAMPLES[rule_id].breaks(aws)
    if isinstance(wording, str):
        assert code == wording
        return
    assert code == wording.code
    start, _, rest = wording.text.partition("{")
    assert message.startswith(start)
    assert message.endswith(rest.rpartition("}")[2])


@pytest.mark.parametrize("rule", STATE_RULES, ids=lambda rule: rule.id)
def test_a_rule_of_state_says_its_source_and_who_enforces_it(rule: StateRule) -> None:
    assert rule.text.endswith(".")
    assert rule.source
    assert date.fromisoformat(rule.date)
    if rule.place:
        import_module(rule.place)
    else:
        assert "Enforced nowhere" in rule.text


ALL_WORDINGS = {
    **{f"missing {kind}": wording for kind, wording in MISSING.items()},
    **{f"taken {kind}": wording for kind, wording in TAKEN.items()},
    **OTHERS,
}


@pytest.mark.parametrize("what", ALL_WORDINGS)
def test_a_wording_says_where_it_was_seen_or_that_it_was_not(what: str) -> None:
    wording = ALL_WORDINGS[what]
    unproven = "general knowledge" in wording.source
    assert wording.seen is not unproven
    assert date.fromisoformat(wording.date)


@pytest.mark.parametrize("what", ALL_WORDINGS)
def test_the_library_tells_every_wording_apart(what: str) -> None:
    wording = ALL_WORDINGS[what]
    expected = {
        "missing": ResourceNotFoundError,
        "taken": ResourceInUseError,
        "throttled": ThrottledError,
        "expired": CredentialsError,
        "expired-query": CredentialsError,
        "expired-s3": CredentialsError,
        "no-model-data": ResourceNotFoundError,
        "no-endpoint-to-invoke": ResourceNotFoundError,
    }.get(what.partition(" ")[0], RequestRejectedError)
    assert classify(wording.code, wording.text) is expected
