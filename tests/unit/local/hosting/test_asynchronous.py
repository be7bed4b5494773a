"""InvokeEndpointAsync: what is accepted gets its outcome, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.local.conftest import SUPERVISOR
from tests.unit.local.machine import BUCKET, LocalAWS, Settle, processes_of, refusal

Make = Callable[..., LocalAWS]
OUTPUT = {"S3OutputPath": f"s3://{BUCKET}/answers", "S3FailurePath": f"s3://{BUCKET}/failures/"}


def config(**client: int) -> dict[str, Any]:
    return {"OutputConfig": OUTPUT, **({"ClientConfig": client} if client else {})}


def served(aws: LocalAWS, **client: int) -> LocalAWS:
    aws.host(asynchronous=config(**client), Environment={"MODEL": "m"})
    assert aws.settled()["EndpointStatus"] == "InService", aws.endpoint_log()
    return aws


def ask(aws: LocalAWS, body: bytes | None = None, **params: Any) -> dict[str, str]:
    """The keys of the answer and of the failure, and the inference id."""
    given = {"Body": body} if body is not None else {}
    answer = aws.runtime.invoke_endpoint_async(EndpointName="end", **given, **params)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    return {
        "answer": answer["OutputLocation"].removeprefix(f"s3://{BUCKET}/"),
        "failure": answer["FailureLocation"].removeprefix(f"s3://{BUCKET}/"),
        "id": answer["InferenceId"],
    }


def comes(aws: LocalAWS, key: str) -> bytes:
    """The object once it is there."""
    assert Settle(15).until(lambda: aws.objects.get(BUCKET, key)), (aws.endpoint(), aws.endpoint_log())
    return aws.read(key)


def kill(aws: LocalAWS, mark: bytes) -> None:
    found = [pid for pid, command in processes_of(aws.root) if mark in command]
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)


def test_an_answer_comes_to_the_output_path_for_a_body_in_s3_and_an_inline_one(either_aws: LocalAWS) -> None:
    aws = served(either_aws)
    source = aws.put("inputs/question.txt", "from s3")
    asked = ask(aws, InputLocation=source, ContentType="text/plain", Accept="text/x", InferenceId="my/id")
    seen = json.loads(comes(aws, asked["answer"]))
    assert seen["body"] == "from s3"
    assert (seen["headers"]["content-type"], seen["headers"]["accept"]) == ("text/plain", "text/x")
    assert seen["headers"]["x-amzn-sagemaker-inference-id"] == "my/id"
    assert asked["id"] == "my/id"
    assert asked["answer"].startswith("answers/my-id-")
    inline = ask(aws, b"inline", S3OutputPathExtension="a/b", Filename="mine.json")
    assert inline["answer"] == "answers/a/b/mine.json"
    assert json.loads(comes(aws, inline["answer"]))["body"] == "inline"
    assert aws.endpoint()["AsyncInferenceConfig"]["OutputConfig"]["S3OutputPath"] == OUTPUT["S3OutputPath"]
    assert aws.keys("failures/") == []


@pytest.mark.parametrize(
    ("body", "params", "words"),
    [
        (b"status 500", {}, 'Received server error (500) from primary with message "the model says no".'),
        (b"sleep 5", {"InvocationTimeoutSeconds": 1}, "timed out"),
        (None, {"InputLocation": f"s3://{BUCKET}/nothing"}, "NoSuchKey"),
    ],
)
def test_what_fails_is_told_at_the_failure_path(
    aws: LocalAWS, body: bytes | None, params: dict[str, Any], words: str
) -> None:
    served(aws)
    asked = ask(aws, body, **params)
    assert words in comes(aws, asked["failure"]).decode()
    assert aws.keys("answers/") == []


def test_no_more_than_the_configured_number_are_asked_at_once(aws: LocalAWS) -> None:
    served(aws, MaxConcurrentInvocationsPerInstance=1)
    first, second = ask(aws, b"sleep 0.6"), ask(aws, b"quick")
    comes(aws, second["answer"])
    stored = [aws.objects.get(BUCKET, one["answer"]) for one in (first, second)]
    assert stored[0] is not None
    assert stored[1] is not None
    assert stored[0].last_modified <= stored[1].last_modified


def test_what_was_accepted_is_answered_though_its_supervisor_was_killed(either_aws: LocalAWS) -> None:
    aws = served(either_aws, MaxConcurrentInvocationsPerInstance=1)
    asked = [ask(aws, b"sleep 1"), ask(aws, b"second"), ask(aws, b"third")]
    kill(aws, SUPERVISOR)
    assert Settle().until(lambda: aws.endpoint()["EndpointStatus"] == "Updating"), aws.endpoint()
    assert [json.loads(comes(aws, one["answer"]))["body"] for one in asked] == ["sleep 1", "second", "third"]
    assert aws.settled()["EndpointStatus"] == "InService"
    assert "the supervisor of this endpoint died" in aws.endpoint()["FailureReason"]
    aws.sagemaker.delete_endpoint(EndpointName="end")
    assert Settle().until(lambda: aws.store.get("endpoint", "end") is None)


def test_a_request_over_which_the_container_dies_is_asked_once_more_and_then_told(aws: LocalAWS) -> None:
    served(aws)
    asked = ask(aws, b"die")
    told = comes(aws, asked["failure"]).decode()
    # the program that died twice takes the endpoint with it: whichever is seen first is told
    assert "closed the connection 2 times" in told or told.startswith("The endpoint has failed"), told


def test_requests_that_a_failed_or_deleted_endpoint_leaves_are_told_to_have_failed(aws: LocalAWS) -> None:
    served(aws, MaxConcurrentInvocationsPerInstance=1)
    running, waiting = ask(aws, b"sleep 20"), ask(aws, b"never")
    Settle(0.5).until(lambda: False)
    aws.sagemaker.delete_endpoint(EndpointName="end")
    for one in (running, waiting):
        assert comes(aws, one["failure"]) == b"The endpoint was deleted before the request was answered."
    assert aws.keys("answers/") == []


def test_a_request_that_waits_too_long_expires(aws: LocalAWS) -> None:
    served(aws)
    asked = ask(aws, b"sleep 20", RequestTTLSeconds=60)
    kill(aws, SUPERVISOR)
    with aws.store.transaction() as connection:
        connection.execute("UPDATE async_requests SET request = json_set(request, '$.accepted', 1.0) WHERE 1")
    aws.endpoint()
    assert comes(aws, asked["failure"]) == b"The request was not processed within 60 seconds"


def test_an_update_goes_on_with_the_queue_on_the_new_model(aws: LocalAWS) -> None:
    served(aws)
    aws.add_model("new", Environment={"MODEL": "new"})
    aws.create_config("new", config())
    before = ask(aws, b"sleep 1")
    aws.sagemaker.update_endpoint(EndpointName="end", EndpointConfigName="new")
    assert aws.settled()["EndpointConfigName"] == "new"
    after = ask(aws, b"after")
    models = [json.loads(comes(aws, one["answer"]))["environment"]["MODEL"] for one in (before, after)]
    assert models == ["m", "new"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "exactly one of Body and InputLocation"),
        ({"Body": b"x", "InputLocation": "s3://b/k"}, "exactly one of Body and InputLocation"),
        ({"Body": b"x" * 128_001}, "128001 bytes"),
        ({"InputLocation": "https://bucket.s3.amazonaws.com/k"}, "https://"),
        ({"Body": b"x", "Filename": "a.b.c"}, "Filename 'a.b.c'"),
        ({"Body": b"x", "InvocationTimeoutSeconds": 3601}, "3601"),
        ({"Body": b"x", "RequestTTLSeconds": 59}, "59"),
    ],
)
def test_requests_that_aws_would_not_accept_are_refused(
    aws: LocalAWS, params: dict[str, Any], words: str
) -> None:
    served(aws)
    with pytest.raises(Exception, match=words):
        aws.runtime.invoke_endpoint_async(EndpointName="end", **params)


def test_a_real_time_endpoint_is_not_asked_asynchronously_nor_the_other_way_round(aws: LocalAWS) -> None:
    served(aws)
    with pytest.raises(ClientError, match="is asynchronous; ask it by InvokeEndpointAsync"):
        aws.runtime.invoke_endpoint(EndpointName="end", Body=b"")
    aws.host("plain")
    assert aws.settled("plain")["EndpointStatus"] == "InService"
    with pytest.raises(ClientError, match="has no AsyncInferenceConfig"):
        aws.runtime.invoke_endpoint_async(EndpointName="plain", Body=b"x")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            {"NotificationConfig": {"ErrorTopic": "arn:aws:sns:us-east-1:123456789012:t"}},
            "NotificationConfig",
        ),
        ({"S3OutputPath": None}, "without S3OutputPath"),
        ({"S3OutputPath": "https://b/out"}, "https://"),
    ],
)
def test_asynchronous_configurations_that_are_not_offered_are_refused_by_name(
    aws: LocalAWS, output: dict[str, Any], words: str
) -> None:
    whole = {key: value for key, value in {**OUTPUT, **output}.items() if value is not None}
    variant = {
        "VariantName": "v",
        "ModelName": "m",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.xlarge",
    }
    code, message = refusal(
        aws.sagemaker.create_endpoint_config,
        EndpointConfigName="c",
        ProductionVariants=[variant],
        AsyncInferenceConfig={"OutputConfig": whole},
    )
    assert code == "UnsupportedOperation"
    assert words in message


def test_a_header_that_is_not_known_is_refused_by_its_name(aws: LocalAWS) -> None:
    from ift_sagemaker.local.hosting.asynchronous import invoke_endpoint_async
    from ift_sagemaker.local.protocol.errors import ServiceError

    with pytest.raises(ServiceError, match="x-amzn-sagemaker-target-variant") as caught:
        invoke_endpoint_async(aws.context, "end", {"x-amzn-sagemaker-target-variant": "B"}, b"x")
    assert caught.value.code == "UnsupportedOperation"
