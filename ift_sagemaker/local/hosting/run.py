"""One endpoint, served and watched by its supervisor until it is deleted or lost."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ift_sagemaker.local.hosting import document as endpoint_document
from ift_sagemaker.local.logs.shipping import Events, LogPump, ship_traceback
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.artifacts import ArchiveError, extract
from ift_sagemaker.local.running.runner import (
    COVERAGE,
    Launch,
    Program,
    Runner,
    StartError,
    default_environment,
    introduction,
)
from ift_sagemaker.local.running.staging import DownloadError, Downloads, may_share
from ift_sagemaker.local.state.resources import ENDPOINT, Document, split_s3
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.breakage import broken
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.launch import import_path
from ift_sagemaker.local.supervision.leases import Lease
from ift_sagemaker.local.supervision.slots import Slots
from ift_sagemaker.local.supervision.waiting import Time
from ift_sagemaker.local.supervision.watch import DRAIN_IN_SECONDS, TICK_IN_SECONDS, TURN_IN_SECONDS
from ift_sagemaker.wire.paths import MLPaths

HOST = "127.0.0.1"
PING_TIMEOUT = 2.0
STOP_GRACE = 30.0
SLOT_TIMEOUT = 600.0
RESTARTS = 1
PORT_TRIES = 3
_PING_PAUSE = 0.1
_LAST_LINES = 12


class DeleteAsked(Exception):  # noqa: N818 - an event, not an error
    """DeleteEndpoint was called."""


class EndpointLost(Exception):  # noqa: N818 - an outcome
    """The endpoint has failed; the text is its FailureReason."""


@dataclass
class Serving:
    """A started serving program."""

    program: Program
    pump: LogPump
    output: int
    port: int

    def close(self) -> None:
        self.pump.drain(DRAIN_IN_SECONDS)
        os.close(self.output)


class EndpointRun:
    """Takes an endpoint from Creating to its deletion or failure."""

    def __init__(
        self,
        context: Context,
        endpoint: Document,
        runner: Runner,
        waits: Time | None = None,
        find_port: Callable[[], int] | None = None,
    ) -> None:
        self._context = context
        self._endpoint = endpoint
        self._name: str = endpoint["EndpointName"]
        self._runner = runner
        self._waits = waits or Time()
        self._find_port = find_port or free_port
        self._place = Workplace.of(context.store.root, ENDPOINT, self._name)
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._next_look = 0.0
        self._slot_deadline = 0.0

    def run(self) -> None:
        """Returns when the endpoint is gone or has failed."""
        try:
            self._run()
        except DeleteAsked:
            self._remove()
        except EndpointLost as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - whatever broke ends this endpoint, and is told in full
            ship_traceback(self._ship, self._context.clock())
            self._fail(broken(error))

    def _run(self) -> None:
        slots = Slots(self._context.store.root, ENDPOINT, self._context.settings.endpoint_slots)
        self._slot_deadline = self._waits.monotonic() + SLOT_TIMEOUT
        try:
            slot = slots.wait(self._name, self._look_before_waiting, self._waits.sleep)
        finally:
            slots.leave(self._name)
        self._with_slot(slot)

    def _look_before_waiting(self) -> None:
        self._refuse_deleted()
        if self._waits.monotonic() >= self._slot_deadline:
            count = self._context.settings.endpoint_slots
            raise EndpointLost(
                f"Unable to provision requested compute capacity: all {count} endpoint slots are taken;"
                " delete an endpoint or set IFT_LOCAL_ENDPOINT_SLOTS"
            )

    def _with_slot(self, slot: Lease) -> None:
        try:
            self._fetch_model()
            codes = [self._serve() for _ in range(RESTARTS + 1)]
            raise EndpointLost(
                f"The serving container ended with exit code {codes[-1]}, again.{self._tail()}"
            )
        finally:
            slot.release()

    def _fetch_model(self) -> None:
        folder = MLPaths(self._place.ml()).model
        folder.mkdir(parents=True, exist_ok=True)
        data = endpoint_document.model_data(self._endpoint["_container"])
        if data is None:
            return
        uri, is_object, packed = data
        try:
            self._download(uri, folder, packed=packed and is_object)
        except (DownloadError, ServiceError) as error:
            if getattr(error, "status", 0) == 507:
                raise
            raise EndpointLost(f'Failed to download model data from URL: "{uri}". {error}') from error
        except ArchiveError as error:
            raise EndpointLost(f'Failed to extract model data archive from URL "{uri}": {error}') from error

    def _download(self, uri: str, folder: Path, *, packed: bool) -> None:
        if not packed:
            share = may_share(self._runner.name)
            Downloads(self._context.objects, share=share).prefix(uri, folder)
            return
        self._place.outgoing.mkdir(parents=True, exist_ok=True)
        archive = self._place.outgoing / "model.tar.gz"
        self._context.objects.link(*split_s3(uri), archive)
        try:
            extract(archive, folder)
        finally:
            archive.unlink()

    def _serve(self) -> int:
        """The exit code of a serving program that was healthy and ended by itself."""
        serving = self._healthy()
        try:
            self._update(lambda there, now: endpoint_document.in_service(there, serving.port, now))
            while (code := serving.program.poll()) is None:
                serving.pump.turn(TURN_IN_SECONDS)
                self._refuse_deleted()
            self._update(lambda there, _: endpoint_document.restarting(there))
            return code
        finally:
            self._finish(serving)

    def _healthy(self) -> Serving:
        """A program that answered /ping with 200."""
        deadline = self._waits.monotonic() + float(self._endpoint["_startup_timeout"])
        for _ in range(PORT_TRIES):
            serving = self._start(self._find_port())
            healthy = False
            try:
                healthy = self._await_health(serving, deadline)
            finally:
                if not healthy:
                    self._finish(serving)
            if healthy:
                return serving
            if is_free(serving.port):  # else another program took the port in between: once more
                break
        raise EndpointLost(self._unhealthy())

    def _await_health(self, serving: Serving, deadline: float) -> bool:
        while serving.program.poll() is None and self._waits.monotonic() < deadline:
            serving.pump.turn(_PING_PAUSE)
            self._refuse_deleted()
            if ping(serving.port):
                return serving.program.poll() is None
        return False

    def _unhealthy(self) -> str:
        variant = self._endpoint["_variant"]
        return (
            f"The primary container for production variant {variant} did not pass the ping health check."
            f" Please check CloudWatch logs for this endpoint.{self._tail()}"
        )

    def _tail(self) -> str:
        return " Last lines: " + " | ".join(self._last) if self._last else ""

    def _start(self, port: int) -> Serving:
        readable, writable = os.pipe()
        pump = LogPump(readable, self._ship, self._last.append, self._context.clock, self._waits.monotonic)
        self._introduce()
        image, replaces_entrypoint = self._endpoint.get("_image", ("", False))
        try:
            program = self._runner.start(
                Launch(
                    command=tuple(self._endpoint["_command"]),
                    environment=self._environment(port),
                    ml_root=self._place.ml(),
                    scratch=self._place.scratch(),
                    output=writable,
                    network=True,
                    read_only=("model",),
                    hidden=(self._context.store.root,),
                    image=image,
                    replaces_entrypoint=replaces_entrypoint,
                    port=port,
                )
            )
        except StartError as error:
            os.close(readable)
            raise EndpointLost(f"The serving container could not be started: {error}") from error
        finally:
            os.close(writable)
        self._update(lambda there, _: {**there, "_programs": [program.record()]})
        return Serving(program, pump, readable, port)

    def _environment(self, port: int) -> dict[str, str]:
        region = self._context.settings.region
        coverage = self._runner.name == "process"
        return {
            **default_environment(),
            **import_path(),
            **{name: os.environ[name] for name in COVERAGE if coverage and name in os.environ},
            **self._endpoint["_container"].get("Environment", {}),
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "IFT_BIND_HOST": "127.0.0.1",
            "SAGEMAKER_REGION": region,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
        }

    def _finish(self, serving: Serving) -> None:
        """Ends the program: SIGTERM, 30 seconds, SIGKILL."""
        deadline = self._waits.monotonic() + STOP_GRACE
        serving.program.terminate()
        while serving.program.poll() is None:
            serving.pump.turn(TURN_IN_SECONDS)
            if self._waits.monotonic() >= deadline:
                serving.program.kill()
        serving.close()

    def _refuse_deleted(self) -> None:
        now = self._waits.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + TICK_IN_SECONDS
        there = self._context.store.get(ENDPOINT, self._name)
        if there is None or there["EndpointStatus"] == "Deleting":
            raise DeleteAsked

    def _remove(self) -> None:
        self._place.remove()
        self._context.store.delete(ENDPOINT, self._name)

    def _fail(self, reason: str) -> None:
        self._place.remove()
        there = self._update(lambda endpoint, now: endpoint_document.failed(endpoint, reason, now))
        if there is not None and there["EndpointStatus"] == "Deleting":
            self._remove()

    def _update(self, change: Callable[[Document, float], Document]) -> Document | None:
        now = self._context.clock()
        with suppress(KeyError):
            return self._context.store.update(ENDPOINT, self._name, lambda there: change(there, now))
        return None

    def _introduce(self) -> None:
        image = self._endpoint["_container"]["Image"]
        executed = " ".join([self._endpoint.get("_executed", ""), *self._endpoint["_command"]])
        lines = introduction(self._runner, image, executed, network=True)
        now = int(self._context.clock() * 1000)
        self._ship([(now, line) for line in lines])

    def _ship(self, events: Events) -> None:
        group = endpoint_document.log_group(self._name)
        self._context.store.append_log_events(group, self._endpoint["_log_stream"], events)


def free_port() -> int:
    """A loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def ping(port: int) -> bool:
    """Whether the container says that it is ready to answer."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(HOST, port, timeout=PING_TIMEOUT)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
