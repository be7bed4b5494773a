"""InvokeEndpoint: a request through boto3, the supervisor's server, and back."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.local.hosting import traffic
from ift_sagemaker.local.hosting.runtime import invoke_endpoint
from ift_sagemaker.local.hosting.server import free_port
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.settings import Context, LocalSettings
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.leases import acquire, lease_path
from tests.unit.local.machine import LocalAWS

Hand = Callable[[int | None], None]


@pytest.fixture
def by_hand(aws: LocalAWS) -> Iterator[Callable[[int | None], None]]:
    """Puts an endpoint `hand` into service on a port, with its lease held by this test."""
    leases = []

    def serve(port: int | None) -> None:
        lease = acquire(lease_path(aws.root, "endpoint", "hand"))
        assert lease is not None
        leases.append(lease)
        variant = {"name": "AllTraffic", "weight": 1.0, "port": port, "log_stream": "AllTraffic/i-local1"}
        document = {
            "EndpointName": "hand",
            "EndpointStatus": "InService",
            "_fleet": {"number": 1, "async": None, "variants": [variant]},
        }
        place = Workplace.of(aws.root, "endpoint", "hand")
        place.make()
        traffic.open_gate(traffic.gate(place.home, 1))
        aws.store.insert("endpoint", "hand", document)

    yield serve
    for lease in leases:
        lease.release()


def limited(aws: LocalAWS, **limits: Any) -> Context:
    """The local AWS with other limits."""
    return replace(aws.context, settings=replace(aws.settings, **limits))


@contextmanager
def refused() -> Iterator[dict[str, Any]]:
    """What the client was told, once the block has raised."""
    told: dict[str, Any] = {}
    with pytest.raises(ClientError) as caught:
        yield told
    told.update(caught.value.response)


def test_a_request_reaches_the_container_with_its_headers_and_the_answer_comes_back(
    either_aws: LocalAWS,
) -> None:
    either_aws.host(Environment={"MINE": "1"})
    assert either_aws.settled()["EndpointStatus"] == "InService", either_aws.endpoint_log()
    answer = either_aws.runtime.invoke_endpoint(
        EndpointName="end",
        Body=b"hello",
        ContentType="text/plain",
        Accept="application/json",
        CustomAttributes="trace=7",
        InferenceId="id-1",
        SessionId="NEW_SESSION",
    )
    seen = json.loads(answer["Body"].read())
    assert (seen["path"], seen["body"]) == ("/invocations", "hello")
    assert seen["headers"]["content-type"] == "text/plain"
    assert seen["headers"]["accept"] == "application/json"
    assert seen["headers"]["x-amzn-sagemaker-inference-id"] == "id-1"
    assert seen["headers"]["x-amzn-sagemaker-session-id"] == "NEW_SESSION"
    assert "authorization" not in seen["headers"]
    assert seen["environment"]["MINE"] == "1"
    assert seen["environment"]["SAGEMAKER_REGION"] == "us-east-1"
    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["CustomAttributes"] == "trace=7"


def test_an_error_of_the_container_is_a_model_error_with_its_words(aws: LocalAWS) -> None:
    aws.host()
    aws.settled()
    with refused() as told:
        aws.runtime.invoke_endpoint(EndpointName="end", Body=b"status 422")
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert told["Error"]["Code"] == "ModelError"
    assert told["Error"]["Message"].startswith(
        'Received client error (422) from primary with message "the model says no".'
    )
    assert (told["OriginalStatusCode"], told["OriginalMessage"]) == (422, "the model says no")
    assert ":log-group:/aws/sagemaker/Endpoints/end:log-stream:AllTraffic/i-local" in told["LogStreamArn"]


def test_a_container_that_dies_over_a_request_is_a_model_error(aws: LocalAWS) -> None:
    aws.host()
    aws.settled()
    with pytest.raises(ServiceError, match="closed the connection") as caught:
        invoke_endpoint(aws.context, "end", {}, b"die")
    assert caught.value.code == "ModelError"


def test_an_answer_that_takes_too_long_is_a_model_error(aws: LocalAWS) -> None:
    aws.host()
    aws.settled()
    with pytest.raises(ServiceError, match="timed out") as caught:
        invoke_endpoint(limited(aws, invocation_in_seconds=0.3), "end", {}, b"sleep 5")
    assert (caught.value.code, caught.value.status) == ("ModelError", 424)


def test_requests_and_answers_beyond_the_limit_are_refused(aws: LocalAWS) -> None:
    aws.host()
    aws.settled()
    context = limited(aws, payload_bytes=100)
    with pytest.raises(ServiceError, match="101 bytes, allowed are at most 100") as caught:
        invoke_endpoint(context, "end", {}, b"x" * 101)
    assert caught.value.code == "ValidationError"
    with pytest.raises(ServiceError, match="larger than 100 bytes"):
        invoke_endpoint(context, "end", {}, b"x")


def test_the_limits_are_those_of_aws_unless_the_environment_says_otherwise(tmp_path: Path) -> None:
    plain = LocalSettings.from_environment({}, root=tmp_path)
    assert (plain.payload_bytes, plain.async_bytes) == (6_291_456, 1 << 30)
    assert (plain.invocation_in_seconds, plain.stream_in_seconds) == (60.0, 480.0)
    told = {
        "IFT_LOCAL_PAYLOAD_BYTES": "7",
        "IFT_LOCAL_INVOCATION_SECONDS": "1.5",
        "IFT_LOCAL_STREAM_SECONDS": "2.5",
        "IFT_LOCAL_ASYNC_BYTES": "8",
    }
    other = LocalSettings.from_environment(told, root=tmp_path)
    assert (other.payload_bytes, other.async_bytes) == (7, 8)
    assert (other.invocation_in_seconds, other.stream_in_seconds) == (1.5, 2.5)


def test_an_endpoint_that_is_not_there_or_not_in_service_is_a_validation_error(aws: LocalAWS) -> None:
    with refused() as told:
        aws.runtime.invoke_endpoint(EndpointName="other", Body=b"")
    assert told["Error"] == {
        "Code": "ValidationError",
        "Message": "Endpoint other of account 123456789012 not found.",
    }
    aws.host(Environment={"PING": "503"})
    with refused() as told:
        aws.runtime.invoke_endpoint(EndpointName="end", Body=b"")
    assert told["Error"]["Code"] == "ValidationError"
    assert "its status is Creating" in told["Error"]["Message"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"TargetVariant": "other"}, "Variant other not found"),
        ({"TargetModel": "a.tar.gz"}, "target-model"),
        ({"InferenceComponentName": "part"}, "inference-component"),
    ],
)
def test_requests_for_other_parts_of_an_endpoint_are_refused(
    aws: LocalAWS, by_hand: Hand, argument: dict[str, str], words: str
) -> None:
    by_hand(1)
    with refused() as told:
        aws.runtime.invoke_endpoint(EndpointName="hand", Body=b"", **argument)
    assert words in told["Error"]["Message"]


def test_an_endpoint_whose_container_starts_again_is_unavailable_for_now(
    aws: LocalAWS, by_hand: Hand
) -> None:
    by_hand(None)
    with pytest.raises(ServiceError, match="is starting again") as caught:
        invoke_endpoint(aws.context, "hand", {}, b"")
    assert (caught.value.code, caught.value.status) == ("ServiceUnavailable", 503)


def test_a_port_that_nobody_listens_on_is_unavailable_and_no_fault_of_the_model(
    aws: LocalAWS, by_hand: Hand
) -> None:
    by_hand(free_port())
    with pytest.raises(ServiceError, match="is starting again"):
        invoke_endpoint(aws.context, "hand", {}, b"")


def test_a_container_that_drips_is_cut_off_at_the_time_limit(aws: LocalAWS, by_hand: Hand) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()
        thread = threading.Thread(target=drip, args=(listener, done))
        thread.start()
        by_hand(listener.getsockname()[1])
        with pytest.raises(ServiceError, match="timed out"):
            invoke_endpoint(limited(aws, invocation_in_seconds=0.4), "hand", {}, b"")
        done.set()
        thread.join(5)


def drip(listener: socket.socket, done: threading.Event) -> None:
    """A byte now and then, for longer than anybody should wait."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            try:
                connection.sendall(b"x")
            except OSError:
                return
            if done.wait(0.05):
                return
