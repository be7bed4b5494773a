"""The run of one endpoint, inside this process where time or ports must be the test's."""

from __future__ import annotations

import socket
import threading
from typing import Any

from ift_sagemaker.local.hosting import document as endpoint_document
from ift_sagemaker.local.hosting.run import EndpointRun
from ift_sagemaker.local.hosting.server import free_port
from ift_sagemaker.local.running.images import LocalContainer
from ift_sagemaker.local.running.runner import Launch, ProcessRunner, Program
from ift_sagemaker.local.state.resources import ENDPOINT
from ift_sagemaker.local.state.settings import Context, LocalSettings
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.leases import acquire, lease_path
from ift_sagemaker.local.supervision.waiting import Time
from tests.unit.local.machine import BUCKET, SERVER, FakeTime, LocalAWS, Settle


def an_endpoint(aws: LocalAWS, script: str = SERVER, **changes: Any) -> dict[str, Any]:
    """An endpoint that was created and whose supervisor has not begun."""
    aws.put("plain/server.py", script)
    source = {"S3Uri": f"s3://{BUCKET}/plain/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": "mine:1", "ModelDataSource": {"S3DataSource": source}}
    variant = {"VariantName": "AllTraffic", "InitialVariantWeight": 1.0}
    timeout = changes.pop("timeout", None)
    served = endpoint_document.Served(
        {**variant, **({"ContainerStartupHealthCheckTimeoutInSeconds": timeout} if timeout else {})},
        {"PrimaryContainer": {**container, **changes.pop("container", {})}},
        LocalContainer("mine", ("python3", "/opt/ml/model/server.py")),
    )
    endpoint = endpoint_document.new_endpoint(
        {"EndpointName": "end", "EndpointConfigName": "end"},
        aws.settings.arn("sagemaker", "endpoint/end"),
        900.0,
        aws.settings,
        endpoint_document.new_fleet(1, {"EndpointConfigName": "end"}, [served], 900.0),
    )
    endpoint |= {"_runner": "process", **changes}
    aws.store.insert(ENDPOINT, "end", endpoint)
    Workplace.of(aws.root, ENDPOINT, "end").make()
    return endpoint


def test_a_server_that_never_gets_healthy_is_given_up_and_ended(aws: LocalAWS) -> None:
    endpoint = an_endpoint(aws, container={"Environment": {"PING": "503"}}, timeout=0.6)
    EndpointRun(aws.context, endpoint, ProcessRunner()).run()
    found = aws.store.get(ENDPOINT, "end")
    assert found is not None
    assert found["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in found["FailureReason"]


def test_a_port_that_another_took_in_between_is_tried_again_with_a_new_one(aws: LocalAWS) -> None:
    lease = acquire(lease_path(aws.root, ENDPOINT, "end"))
    assert lease is not None
    with socket.create_server(("127.0.0.1", 0)) as other:
        hanging_up = threading.Thread(target=hang_up, args=(other,))
        hanging_up.start()
        good = free_port()
        ports = iter([other.getsockname()[1], good])
        run = EndpointRun(aws.context, an_endpoint(aws), ProcessRunner(), find_port=lambda: next(ports))
        serving = threading.Thread(target=run.run)
        serving.start()
        assert Settle().until(lambda: aws.endpoint()["EndpointStatus"] == "InService"), aws.endpoint_log()
        found = aws.store.get(ENDPOINT, "end")
        assert found is not None
        assert found["_fleet"]["variants"][0]["port"] == good
        aws.sagemaker.delete_endpoint(EndpointName="end")
        serving.join(10)
        other.close()
        hanging_up.join(5)
    assert aws.store.get(ENDPOINT, "end") is None
    lease.release()


def hang_up(listener: socket.socket) -> None:
    """Closes every connection at once, until the listener is closed."""
    listener.settimeout(0.05)
    while listener.fileno() >= 0:
        try:
            listener.accept()[0].close()
        except TimeoutError:
            continue
        except OSError:
            return


def test_an_endpoint_that_finds_no_slot_in_time_fails(aws: LocalAWS) -> None:
    settings = LocalSettings(aws.root, runner="process", endpoint_slots=1)
    taken = acquire(aws.root / "slots" / f"{ENDPOINT}-0.lock")
    assert taken is not None
    clock = FakeTime()
    context = Context(settings, aws.store, aws.objects, clock)
    EndpointRun(context, an_endpoint(aws), ProcessRunner(), Time(clock.sleep, clock)).run()
    found = aws.store.get(ENDPOINT, "end")
    assert found is not None
    assert found["FailureReason"].startswith("Unable to provision requested compute capacity: all 1 endpoint")
    taken.release()


def test_a_fault_of_the_local_aws_itself_is_told_in_the_endpoints_log(aws: LocalAWS) -> None:
    class Broken(ProcessRunner):
        def start(self, launch: Launch) -> Program:
            raise RuntimeError("this is not supposed to happen")

    EndpointRun(aws.context, an_endpoint(aws), Broken()).run()
    assert "ift-local: Traceback (most recent call last):" in aws.endpoint_log()
    assert aws.endpoint_log()[-1] == "ift-local: RuntimeError: this is not supposed to happen"
