"""InvokeEndpointWithResponseStream through boto3 to the supervisor's server and back, piece by piece."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise

import pytest
from botocore.exceptions import ClientError, EventStreamError

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.errors import InvocationError
from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.transport import session_on
from ift_sagemaker.local.hosting import traffic
from tests.unit.local.machine import LocalAWS, Settle


def served(aws: LocalAWS) -> LocalAWS:
    aws.host()
    assert aws.settled()["EndpointStatus"] == "InService", aws.endpoint_log()
    return aws


def test_each_piece_arrives_when_the_container_writes_it(either_aws: LocalAWS) -> None:
    aws = served(either_aws)
    began = time.monotonic()
    answer = aws.runtime.invoke_endpoint_with_response_stream(EndpointName="end", Body=b"drip 4 0.2")
    pieces = [(event["PayloadPart"]["Bytes"], time.monotonic() - began) for event in answer["Body"]]
    assert [piece for piece, _ in pieces] == [b"piece 0;", b"piece 1;", b"piece 2;", b"piece 3;"]
    assert pieces[0][1] < pieces[-1][1] - 0.4
    gaps = [later[1] - earlier[1] for earlier, later in pairwise(pieces)]
    assert all(gap > 0.1 for gap in gaps)
    assert answer["ContentType"] == "text/event-stream"
    assert answer["InvokedProductionVariant"] == "AllTraffic"


def test_an_error_before_the_first_byte_is_a_model_error(aws: LocalAWS) -> None:
    served(aws)
    with pytest.raises(ClientError) as caught:
        aws.runtime.invoke_endpoint_with_response_stream(EndpointName="end", Body=b"status 422")
    told = caught.value.response
    assert told["Error"]["Code"] == "ModelError"
    assert (told["OriginalStatusCode"], told["OriginalMessage"]) == (422, "the model says no")


def test_a_stream_that_breaks_off_ends_in_a_typed_event_after_what_came(aws: LocalAWS) -> None:
    served(aws)
    answer = aws.runtime.invoke_endpoint_with_response_stream(EndpointName="end", Body=b"drip 2 0.01 broken")
    came: list[bytes] = []
    with pytest.raises(EventStreamError) as caught:
        came.extend(event["PayloadPart"]["Bytes"] for event in answer["Body"])
    assert came == [b"piece 0;", b"piece 1;"]
    told = caught.value.response
    assert told["Error"]["Code"] == "ModelStreamError"
    assert "connection to the model was closed" in told["Error"]["Message"]


def test_the_sdks_client_tells_the_same_errors_as_its_own(aws: LocalAWS) -> None:
    served(aws)
    client = AWSClient(session_on(create_app(aws.context), "us-east-1"))
    assert list(client.invoke_endpoint_stream("end", b"drip 2 0.01")) == [b"piece 0;", b"piece 1;"]
    with pytest.raises(InvocationError, match="the model says no") as caught:
        client.invoke_endpoint_stream("end", b"status 422")
    assert caught.value.status_code == 422
    came: list[bytes] = []
    with pytest.raises(InvocationError, match="stopped in the middle"):
        came.extend(client.invoke_endpoint_stream("end", b"drip 2 0.01 broken"))
    assert came == [b"piece 0;", b"piece 1;"]


def test_a_stream_that_takes_too_long_is_ended_and_says_so(aws: LocalAWS) -> None:
    served(aws)
    context = create_context(replace(aws.settings, stream_in_seconds=0.8))
    runtime = session_on(create_app(context), "us-east-1").client("sagemaker-runtime")
    answer = runtime.invoke_endpoint_with_response_stream(EndpointName="end", Body=b"drip 40 0.1")
    seen: list[object] = []
    with pytest.raises(EventStreamError, match="within the time"):
        seen.extend(answer["Body"])
    assert 0 < len(seen) < 20


def test_a_client_that_leaves_closes_the_connection_to_the_container(aws: LocalAWS) -> None:
    served(aws)
    answer = aws.runtime.invoke_endpoint_with_response_stream(EndpointName="end", Body=b"drip 500 0.02")
    next(iter(answer["Body"]))
    gate = traffic.gate(aws.root / "endpoints/end", 1)
    assert not traffic.is_quiet(gate)
    answer["Body"].close()
    assert traffic.is_quiet(gate)
    left = Settle(3).until(
        lambda: [line for line in aws.endpoint_log() if line.startswith("the client left")]
    )
    assert left, aws.endpoint_log()


def test_bodies_over_the_limit_and_unknown_endpoints_are_refused_before_any_stream(aws: LocalAWS) -> None:
    served(aws)
    context = create_context(replace(aws.settings, payload_bytes=10))
    runtime = session_on(create_app(context), "us-east-1").client("sagemaker-runtime")
    for name, body, words in (("end", b"x" * 11, "11 bytes"), ("other", b"", "not found")):
        with pytest.raises(ClientError, match=words) as caught:
            runtime.invoke_endpoint_with_response_stream(EndpointName=name, Body=body)
        assert caught.value.response["Error"]["Code"] == "ValidationError"
