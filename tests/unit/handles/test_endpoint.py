"""The handle of an endpoint: it never forgets a bill and never takes what is not its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ift_sagemaker.endpoint import Endpoint, deploy, read_chat_completion
from ift_sagemaker.errors import (
    AccessDeniedError,
    AttachError,
    ConfigError,
    CredentialsError,
    EndpointFailed,
    InvocationError,
    QuotaError,
    ResourceInUseError,
    ResourceNotFoundError,
    WaitTimeout,
)
from ift_sagemaker.plan.deployments.vllm import Deployable, plan_deployment
from ift_sagemaker.plan.plans import DeploymentPlan, Place
from ift_sagemaker.wire.events import done, event
from tests.unit.handles.fakes import Clock, FakeAWS

JOB = "ift-m-0123456789ab"
PLACE = Place("us-east-1", "123456789012", "", "arn:aws:iam::123456789012:role/r")


def _plan(**changes: Any) -> DeploymentPlan:
    return plan_deployment(Deployable(JOB, "m", "s3://b/model.tar.gz", owner="me", **changes), PLACE)


def _deploy(aws: FakeAWS, plan: DeploymentPlan | None = None) -> Endpoint:
    return deploy(aws, plan or _plan(), Clock().patience())  # type: ignore[arg-type]


def test_a_deployment_makes_model_configuration_and_endpoint_in_this_order() -> None:
    aws = FakeAWS()
    assert _deploy(aws).made == ("endpoint", "endpoint-config", "model")
    assert [call.split()[0] for call in aws.calls] == [
        "CreateModel",
        "CreateEndpointConfig",
        "CreateEndpoint",
    ]


def test_the_same_deployment_again_attaches_and_owns_nothing() -> None:
    aws = FakeAWS()
    _deploy(aws)
    aws.calls.clear()
    with _deploy(aws) as again:
        assert again.made == ()
    assert aws.calls == []
    assert JOB in aws.hosting["endpoint"]


def test_another_model_under_the_name_is_refused() -> None:
    aws = FakeAWS()
    _deploy(aws)
    with pytest.raises(AttachError, match="InstanceType") as caught:
        _deploy(aws, _plan(instance_type="ml.g5.2xlarge"))
    assert caught.value.differences[0] == (
        "ProductionVariants[0].InstanceType",
        "ml.g5.xlarge",
        "ml.g5.2xlarge",
    )
    assert all(kind for kind in aws.hosting.values())


def test_an_endpoint_on_its_way_out_is_not_attached_to() -> None:
    aws, clock = FakeAWS(), Clock()
    _deploy(aws)
    aws.hosting["endpoint"][JOB]["EndpointStatus"] = "Deleting"
    clock.on_sleep = lambda: aws.hosting["endpoint"].clear() if clock.now >= 30 else None
    made = deploy(aws, _plan(), clock.patience()).made  # type: ignore[arg-type]
    assert made == ("endpoint",)


def test_a_name_that_stays_taken_by_what_is_not_seen_is_refused_in_the_end() -> None:
    aws, clock = FakeAWS(), Clock()
    _deploy(aws)
    aws.hosting["endpoint"][JOB]["EndpointStatus"] = "Deleting"
    with pytest.raises(ResourceInUseError):
        deploy(aws, _plan(), clock.patience())  # type: ignore[arg-type]
    assert clock.now == 60


def test_credentials_that_end_say_that_the_endpoint_goes_on_and_how_to_return() -> None:
    aws = FakeAWS()
    endpoint = _deploy(aws)

    def refuse(_: dict[str, Any]) -> None:
        raise CredentialsError("expired")

    aws.on_describe = refuse
    with pytest.raises(CredentialsError, match="goes on") as caught:
        endpoint.wait()
    assert f"ift endpoints delete {JOB}" in str(caught.value)


@pytest.mark.parametrize("step", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"])
def test_a_failed_deployment_takes_away_what_it_made(step: str) -> None:
    aws = FakeAWS()
    aws.refuse[step] = QuotaError("limit 0")
    with pytest.raises(QuotaError):
        _deploy(aws)
    assert aws.hosting == {"model": {}, "endpoint-config": {}, "endpoint": {}}


def test_a_failed_deployment_keeps_what_it_found() -> None:
    aws = FakeAWS()
    aws.create_model(_plan().create_model)
    aws.refuse["CreateEndpoint"] = QuotaError("limit 0")
    with pytest.raises(QuotaError):
        _deploy(aws)
    assert list(aws.hosting["model"]) == [JOB]
    assert aws.hosting["endpoint-config"] == {}


def test_leaving_the_block_deletes_endpoint_configuration_and_model() -> None:
    aws = FakeAWS()
    with _deploy(aws):
        assert JOB in aws.hosting["endpoint"]
    assert aws.hosting == {"model": {}, "endpoint-config": {}, "endpoint": {}}
    assert [call.split()[0] for call in aws.calls[-3:]] == [
        "DeleteEndpoint",
        "DeleteEndpointConfig",
        "DeleteModel",
    ]


def test_leaving_the_block_says_what_could_not_be_deleted() -> None:
    aws = FakeAWS()
    aws.refuse["DeleteModel"] = AccessDeniedError("no")
    with pytest.raises(EndpointFailed, match="may be billed"), _deploy(aws):
        pass


def test_an_error_inside_the_block_carries_what_could_not_be_deleted() -> None:
    aws = FakeAWS()
    aws.refuse["DeleteEndpoint"] = AccessDeniedError("no")
    with pytest.raises(ZeroDivisionError) as caught, _deploy(aws):
        _ = 1 / 0
    assert "may be billed" in caught.value.__notes__[0]


def test_what_an_endpoint_that_survives_needs_is_kept() -> None:
    aws = FakeAWS()
    aws.refuse["DeleteEndpoint"] = AccessDeniedError("no")
    outcome = _deploy(aws).delete()
    assert outcome.deleted == ()
    assert len(outcome.survivors) == 3
    assert all(aws.hosting.values())


def test_an_endpoint_is_deleted_even_where_its_configuration_may_not_be_read() -> None:
    aws = FakeAWS()
    endpoint = _deploy(aws)
    aws.refuse_describe_config = AccessDeniedError("no")
    assert endpoint.delete().deleted[0] == f"endpoint {JOB}"
    assert aws.hosting["endpoint"] == {}


def test_what_another_process_made_at_the_same_time_is_not_ours() -> None:
    """Two deployments of one job at once: the loser attaches, and deletes nothing of the winner's."""
    aws = FakeAWS()
    theirs = plan_deployment(Deployable(JOB, "m", "s3://b/model.tar.gz", owner="them"), PLACE)

    def they_were_first(operation: str) -> None:
        aws.before_create = lambda _: None
        aws.create_model(theirs.create_model)
        aws.create_endpoint_config(theirs.create_endpoint_config)
        aws.create_endpoint(theirs.create_endpoint)

    aws.before_create = they_were_first
    with _deploy(aws) as endpoint:
        assert endpoint.made == ()
    assert all(aws.hosting.values())


def test_an_earlier_try_whose_answer_was_lost_is_ours() -> None:
    aws = FakeAWS()

    def accepted_but_unanswered(operation: str) -> None:
        aws.before_create = lambda _: None
        aws.create_model(_plan().create_model)

    aws.before_create = accepted_but_unanswered
    assert _deploy(aws).made == ("endpoint", "endpoint-config", "model")


def test_a_part_that_is_not_seen_yet_is_asked_for_again() -> None:
    aws = FakeAWS()
    aws.refuse["CreateEndpoint"] = ResourceNotFoundError("Could not find endpoint configuration")
    clock = Clock(on_sleep=aws.refuse.clear)
    endpoint = deploy(aws, _plan(), clock.patience())  # type: ignore[arg-type]
    assert endpoint.made[0] == "endpoint"
    aws = FakeAWS()
    aws.refuse["CreateEndpoint"] = ResourceNotFoundError("Could not find endpoint configuration")
    with pytest.raises(ResourceNotFoundError):
        _deploy(aws)
    assert not any(aws.hosting.values())


def test_deleting_reports_survivors_and_goes_on() -> None:
    aws = FakeAWS()
    aws.refuse["DeleteEndpointConfig"] = AccessDeniedError("not allowed")
    outcome = _deploy(aws).delete()
    assert outcome.deleted == (f"endpoint {JOB}", f"model {JOB}")
    assert outcome.survivors == ((f"endpoint-config {JOB}-config", "not allowed"),)


def test_deleting_what_is_gone_is_success() -> None:
    outcome = Endpoint(JOB, FakeAWS(), Clock().patience()).delete()  # type: ignore[arg-type]
    assert outcome.deleted == ()
    assert outcome.survivors == ()


def test_deleting_finds_the_rest_of_a_delete_that_was_killed() -> None:
    aws = FakeAWS()
    _deploy(aws)
    del aws.hosting["endpoint"][JOB]
    outcome = Endpoint(JOB, aws, Clock().patience()).delete()  # type: ignore[arg-type]
    assert outcome.deleted == (f"endpoint-config {JOB}-config", f"model {JOB}")


def test_waiting_ends_in_service() -> None:
    aws = FakeAWS()
    aws.new_status = "Creating"
    looks = iter(["Creating", "Creating", "InService"])
    aws.on_describe = lambda found: found.update(EndpointStatus=next(looks))
    seen: list[str] = []
    assert _deploy(aws).wait(on_status=seen.append).status == "InService"
    assert seen == ["Creating", "Creating", "InService"]


def test_a_failed_endpoint_raises_its_reason_and_log() -> None:
    aws = FakeAWS()
    endpoint = _deploy(aws)
    aws.on_describe = lambda found: found.update(EndpointStatus="Failed", FailureReason="ping")
    aws.logs = [["loading"], ["out of memory"]]  # the log lags behind the endpoint
    with pytest.raises(EndpointFailed, match="out of memory") as caught:
        endpoint.wait()
    assert caught.value.failure_reason == "ping"


def test_a_wait_ends_at_its_timeout() -> None:
    aws = FakeAWS()
    aws.new_status = "Creating"
    with pytest.raises(WaitTimeout):
        _deploy(aws).wait(timeout=30)


def test_an_endpoint_that_is_still_coming_up_is_deleted_once_it_has() -> None:
    """AWS refuses to delete it before; giving up there would leave a bill."""
    aws = FakeAWS()
    aws.new_status = "Creating"
    looks = iter(["Creating", "Creating", "Creating", "Failed"])
    aws.on_describe = lambda found: found.update(EndpointStatus=next(looks))
    assert _deploy(aws).delete().deleted[0] == f"endpoint {JOB}"


def test_an_endpoint_that_never_comes_up_is_a_survivor() -> None:
    aws = FakeAWS()
    aws.new_status = "Creating"
    outcome = _deploy(aws).delete()
    assert outcome.survivors[0][0] == f"endpoint {JOB}"


def _answer(text: str) -> bytes:
    return json.dumps(
        {
            "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        }
    ).encode()


def test_a_prompt_is_one_user_turn_and_the_answer_is_typed() -> None:
    aws = FakeAWS()
    aws.reply = _answer("4")
    answer = _deploy(aws).invoke("2+2?", max_tokens=5, stop=["."], seed=1)
    assert (str(answer), answer.finish_reason, answer.completion_tokens) == ("4", "stop", 1)
    assert aws.bodies[0]["messages"] == [{"role": "user", "content": "2+2?"}]
    assert aws.bodies[0]["max_tokens"] == 5
    assert aws.bodies[0]["stop"] == ["."]


def test_chat_messages_travel_as_they_are() -> None:
    aws = FakeAWS()
    aws.reply = _answer("ok")
    messages = [{"role": "system", "content": "short"}, {"role": "user", "content": "hi"}]
    _deploy(aws).invoke(messages)
    assert aws.bodies[0]["messages"] == messages
    with pytest.raises(ConfigError):
        _deploy(aws).invoke([])


def _chunks(*pieces: str) -> bytes:
    """A stream of our own server, whole."""
    told: list[dict[str, Any]] = [{"delta": {"content": piece}, "finish_reason": None} for piece in pieces]
    told.append({"delta": {}, "finish_reason": "stop"})
    return b"".join(event({"choices": [choice]}) for choice in told) + done()


def test_a_streamed_answer_comes_in_pieces_however_the_parts_are_cut() -> None:
    aws = FakeAWS()
    whole = _chunks("Grün", "", " ist 🌱")
    aws.parts = [whole[start : start + 7] for start in range(0, len(whole), 7)]
    endpoint = _deploy(aws)
    assert list(endpoint.stream("2+2?", max_tokens=5, seed=1)) == ["Grün", " ist 🌱"]
    assert aws.bodies[0] == {
        "messages": [{"role": "user", "content": "2+2?"}],
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 1,
        "stream": True,
    }
    with pytest.raises(ConfigError):
        endpoint.stream("")


def test_whoever_leaves_a_stream_hangs_up() -> None:
    aws = FakeAWS()
    aws.parts = [_chunks("a"), _chunks("b")]
    stream = _deploy(aws).stream("hi")
    assert next(stream) == "a"
    assert "hung up" not in aws.calls
    stream.close()
    assert aws.calls[-1] == "hung up"


def test_a_missing_endpoint_is_not_found() -> None:
    with pytest.raises(ResourceNotFoundError):
        Endpoint("nobody", FakeAWS(), Clock().patience()).invoke("hi")  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"choices": []}', b'[{"generated_text": "x"}]'])
def test_an_answer_of_another_shape_is_an_error_that_shows_it(body: bytes) -> None:
    with pytest.raises(InvocationError) as caught:
        read_chat_completion("e", body)
    assert caught.value.body == body.decode()
