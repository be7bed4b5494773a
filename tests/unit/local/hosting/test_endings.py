"""How an endpoint ends when something breaks: nothing accepted is lost, nothing left running or open."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ift_sagemaker.local.hosting import document as endpoint_document
from ift_sagemaker.local.hosting import traffic
from ift_sagemaker.local.hosting.accepted import AcceptedRequests, AsyncRequest
from ift_sagemaker.local.hosting.backlog import DELETED, Backlog
from ift_sagemaker.local.hosting.behaviour import BEHAVIOUR
from ift_sagemaker.local.hosting.exchange import Exchange
from ift_sagemaker.local.hosting.fleet import Fleet
from ift_sagemaker.local.hosting.run import EndpointRun, longest_request
from ift_sagemaker.local.hosting.server import Phase, Site, VariantServer, free_port
from ift_sagemaker.local.running.runner import Launch, ProcessProgram, ProcessRunner, Program
from ift_sagemaker.local.state.resources import ENDPOINT, Document
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.leases import acquire, lease_path
from ift_sagemaker.local.supervision.waiting import Time
from tests.unit.local.hosting.test_run import an_endpoint
from tests.unit.local.machine import BUCKET, FakeTime, LocalAWS, Settle, processes_of

REQUEST = AsyncRequest("id", {}, "", f"s3://{BUCKET}/out", f"s3://{BUCKET}/failure", 900.0, 60.0, 1e12)


def an_asynchronous_endpoint(aws: LocalAWS, status: str, **changes: Any) -> Document:
    """An endpoint of that status with one accepted request and no supervisor."""
    endpoint = an_endpoint(aws, **changes)
    endpoint["_fleet"]["async"] = {"OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/out"}}
    store(aws, {**endpoint, "EndpointStatus": "InService"})
    assert AcceptedRequests(aws.store, endpoint).add(REQUEST, b"x")
    return store(aws, {**endpoint, "EndpointStatus": status})


def store(aws: LocalAWS, endpoint: Document) -> Document:
    return dict(aws.store.update(ENDPOINT, "end", lambda _: endpoint))


class Watched:
    """Objects of S3 that tell the endpoint's status whenever something is put."""

    def __init__(self, aws: LocalAWS) -> None:
        self._aws = aws
        self.seen: list[str | None] = []
        self.late: list[bool] = []

    def put(self, *where: Any, **more: Any) -> Any:
        endpoint = self._aws.store.get(ENDPOINT, "end")
        self.seen.append(endpoint["EndpointStatus"] if endpoint else None)
        if endpoint and not self.late:
            self.late.append(AcceptedRequests(self._aws.store, endpoint).add(REQUEST, b"late"))
        return self._aws.objects.put(*where, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._aws.objects, name)


@pytest.mark.parametrize("status", ["Deleting", "Updating"])
def test_requests_are_told_before_the_endpoint_is_deleted_or_failed_and_none_comes_in_between(
    aws: LocalAWS, status: str
) -> None:
    class Broken(ProcessRunner):
        def start(self, launch: Launch) -> Program:
            raise RuntimeError("broken")

    endpoint = an_asynchronous_endpoint(aws, status)
    objects = Watched(aws)
    EndpointRun(replace(aws.context, objects=cast("Any", objects)), endpoint, Broken()).run()
    assert objects.seen == [status]
    assert objects.late == [False]
    told = DELETED if status == "Deleting" else "The endpoint has failed: "
    assert aws.read("failure").decode().startswith(told)
    after = aws.store.get(ENDPOINT, "end")
    assert (after and after["EndpointStatus"]) == (None if status == "Deleting" else "Failed")


@pytest.mark.parametrize(
    ("status", "revivals", "told"),
    [
        ("Deleting", 0, DELETED),
        ("InService", endpoint_document.MAX_REVIVALS, "The endpoint has failed: its supervisor died."),
        ("InService", 0, None),
    ],
)
def test_requests_of_an_endpoint_that_no_supervisor_takes_over_are_told_when_it_is_buried(
    aws: LocalAWS, status: str, revivals: int, told: str | None
) -> None:
    endpoint = an_asynchronous_endpoint(aws, status, _revivals=revivals)
    for _ in range(2):  # whoever is killed over it leaves it to the next
        BEHAVIOUR.buried(aws.context, endpoint)
    assert aws.keys("failure") == ([] if told is None else ["failure"])
    if told is not None:
        assert aws.read("failure").decode() == told
    assert AcceptedRequests(aws.store, endpoint).add(REQUEST, b"more") == (told is None)


def test_an_update_leaves_an_asynchronous_request_all_the_time_it_may_take(aws: LocalAWS) -> None:
    assert longest_request(aws.settings, {"OutputConfig": {}}) >= 3600 + 60
    assert longest_request(aws.settings, None) == aws.settings.stream_in_seconds


class Stubborn(ProcessProgram):
    """A program that cannot be ended by those who started it."""

    def terminate(self) -> None:
        raise PermissionError("not yours")

    def kill(self) -> None:
        raise PermissionError("not yours")


class StubbornRunner(ProcessRunner):
    """Starts a stubborn program first and ordinary ones after it."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Program] = []

    def start(self, launch: Launch) -> Program:
        program = cast("ProcessProgram", super().start(launch))
        self.started.append(program if self.started else Stubborn(program.process))
        return self.started[-1]


def delete_once_in_service(aws: LocalAWS) -> None:
    Settle().until(lambda: aws.endpoint()["EndpointStatus"] == "InService")
    aws.store.update(ENDPOINT, "end", lambda there: {**there, "EndpointStatus": "Deleting"})


def test_a_program_that_cannot_be_ended_keeps_no_other_running_and_no_slot_taken(aws: LocalAWS) -> None:
    held = acquire(lease_path(aws.root, ENDPOINT, "end"))
    assert held is not None
    endpoint = an_endpoint(aws)
    first = endpoint["_fleet"]["variants"][0]
    endpoint["_fleet"]["variants"].append({**first, "name": "Second", "log_stream": "Second/i-1"})
    summary = endpoint["ProductionVariants"][0]
    endpoint["ProductionVariants"].append({**summary, "VariantName": "Second"})
    store(aws, endpoint)
    steps = iter(range(1, 10**9))
    waits = Time(monotonic=lambda: float(next(steps)))  # thirty seconds of grace are a few turns
    runner = StubbornRunner()
    deleting = threading.Thread(target=delete_once_in_service, args=(aws,))
    deleting.start()
    EndpointRun(aws.context, endpoint, runner, waits).run()  # programs die with the thread that started them
    deleting.join(10)
    assert processes_of(aws.root) == []
    assert [program.wait(5) is None for program in runner.started] == [False, False]
    slots = sorted((aws.root / "slots").glob(f"{ENDPOINT}-*.lock"))
    held.release()
    free = [acquire(path) for path in slots]
    assert free
    assert None not in free
    for lease in free:
        if lease is not None:
            lease.release()


def test_a_request_that_cannot_be_finished_is_asked_again_after_growing_pauses(aws: LocalAWS) -> None:
    endpoint = an_asynchronous_endpoint(aws, "InService")
    place = Workplace.of(aws.root, ENDPOINT, "end")
    traffic.open_gate(traffic.gate(place.home, 1))
    clock, asked = FakeTime(), list[float]()
    backlog = Backlog(
        replace(aws.context, clock=clock), endpoint, place, lambda events: asked.append(events[0][0] / 1000)
    )
    fleet = SimpleNamespace(async_config=endpoint["_fleet"]["async"], number=1, ports={"v": free_port()})
    for _ in range(60):
        backlog.turn(cast("Fleet", fleet))
        backlog.join()
        clock.sleep(0.25)
    assert [moment - 1000.0 for moment in asked] == [0.0, 0.5, 1.5, 3.5, 7.5]


def test_the_time_limit_of_a_request_holds_from_its_start_and_not_for_each_part_anew() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=answer, args=(listener,))
        answering.start()
        moments = iter([0.0, 61.0])
        with pytest.raises(TimeoutError):
            Exchange(listener.getsockname()[1], {}, b"", 60.0, lambda: next(moments))
        answering.join(5)


def answer(listener: socket.socket) -> None:
    """Answers one request, late by the clock of who asks."""
    with listener.accept()[0] as connection:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def pipes() -> set[str]:
    return set(_open_pipes())


def _open_pipes() -> Iterator[str]:
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = str(path.readlink())
        except OSError:
            continue
        if target.startswith("pipe:"):
            yield target


def a_server(context: Context, endpoint: Document, runner: ProcessRunner) -> VariantServer:
    place = Workplace.of(context.store.root, ENDPOINT, "end")
    site = Site(context, "end", runner, place, Time(), free_port, lambda: None)
    return VariantServer(site, endpoint["_fleet"]["variants"][0], "1-AllTraffic")


@pytest.mark.parametrize("what", ["start", "isolation"])
def test_a_start_that_breaks_leaves_no_pipe_open(aws: LocalAWS, what: str) -> None:
    class Broken(ProcessRunner):
        def __getattribute__(self, name: str) -> Any:
            if name == what:
                raise RuntimeError("broken")
            return super().__getattribute__(name)

    before = pipes()
    server = a_server(aws.context, an_endpoint(aws), Broken())

    def turn_on() -> bool:
        server.turn(0.01)
        return server.phase is not Phase.FETCHING

    with pytest.raises(RuntimeError, match="broken"):
        Settle().until(turn_on)
    assert pipes() == before


class SlowObjects:
    """Objects of S3 that are listed when they are let."""

    def __init__(self, aws: LocalAWS) -> None:
        self._objects, self.may = aws.objects, threading.Event()

    def __getattr__(self, name: str) -> Any:
        self.may.wait(10)
        return getattr(self._objects, name)


def test_a_server_whose_model_is_still_fetched_ends_without_holding_up_who_asked_for_it(
    aws: LocalAWS,
) -> None:
    objects = SlowObjects(aws)
    server = a_server(replace(aws.context, objects=cast("Any", objects)), an_endpoint(aws), ProcessRunner())
    server.stop()
    server.turn(0.01)
    assert server.phase is Phase.FETCHING
    objects.may.set()

    def gone() -> bool:
        server.turn(0.01)
        return server.phase is Phase.GONE

    assert Settle().until(gone)
    assert server.record() is None
    assert server.lost is None
