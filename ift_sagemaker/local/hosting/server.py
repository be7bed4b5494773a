"""One variant of an endpoint: its model, its program, and the program's health.

A turn waits for output as long as it is told, and besides for the answer to one ping (2 seconds at most,
until the program is healthy), for a program to start and, once it has ended, for the rest of its output.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ift_sagemaker.local.hosting.configuration import model_data
from ift_sagemaker.local.hosting.document import log_group
from ift_sagemaker.local.logs.shipping import Events, LogPump
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
from ift_sagemaker.local.state.resources import Document, split_s3
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.launch import import_path
from ift_sagemaker.local.supervision.waiting import Time
from ift_sagemaker.local.supervision.watch import DRAIN_IN_SECONDS
from ift_sagemaker.wire.paths import MLPaths

HOST = "127.0.0.1"
PING_TIMEOUT = 2.0
STOP_GRACE = 30.0
RESTARTS = 1
PORT_TRIES = 3
_PING_PAUSE = 0.1
_LAST_LINES = 12


class EndpointLost(Exception):  # noqa: N818 - an outcome
    """The endpoint, or its update, has failed; the text is the FailureReason."""


class Phase(StrEnum):
    """Where a variant stands. From `STOPPING` it goes on to a new start or to `GONE`."""

    FETCHING = "fetching"
    STARTING = "starting"
    HEALTHY = "healthy"
    STOPPING = "stopping"
    GONE = "gone"


@dataclass(frozen=True)
class Site:
    """What all variants of an endpoint share. `on_start` is called after every start of a program."""

    context: Context
    endpoint: str
    runner: Runner
    place: Workplace
    waits: Time
    find_port: Callable[[], int]
    on_start: Callable[[], None]


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


class VariantServer:
    """Goes on by `turn`. `lost` tells why it has given up, None while it has not."""

    def __init__(self, site: Site, variant: Document, folder: str) -> None:
        self._site, self._variant, self._folder = site, variant, folder
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._serving: Serving | None = None
        self._restarts, self._tries = RESTARTS, PORT_TRIES
        self._deadline = self._next_ping = 0.0
        self._unfit = self._unwanted = False
        self._stop_deadline = 0.0
        self._broken: Exception | None = None
        self._fetching = threading.Thread(target=self._fetch, name=f"fetch-{self.name}", daemon=True)
        self.phase = Phase.FETCHING
        self.lost: str | None = None
        self._fetching.start()

    @property
    def name(self) -> str:
        return str(self._variant["name"])

    @property
    def port(self) -> int | None:
        """Where it answers; None while it does not."""
        return self._serving.port if self._serving and self.phase is Phase.HEALTHY else None

    def record(self) -> dict[str, Any] | None:
        """What another process needs to end the program."""
        return self._serving.program.record() if self._serving else None

    def turn(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for output and goes on as far as it can.

        Raises whatever broke in the local AWS itself.
        """
        if self._serving is not None:
            self._serving.pump.turn(timeout)
        else:
            self._site.waits.sleep(timeout)
        match self.phase:
            case Phase.FETCHING:
                self._turn_fetching()
            case Phase.STARTING:
                self._turn_starting()
            case Phase.HEALTHY:
                self._turn_healthy()
            case Phase.STOPPING:
                self._turn_stopping()
            case Phase.GONE:
                pass

    def stop(self) -> None:
        """Asks the program to end: SIGTERM, 30 seconds, SIGKILL. A model on its way is fetched to its end."""
        self._end(unfit=False)

    # -- phases

    def _turn_fetching(self) -> None:
        if self._fetching.is_alive():
            return
        if self._unwanted:
            self.phase = Phase.GONE
        elif isinstance(self._broken, EndpointLost):
            self._give_up(str(self._broken))
        elif self._broken is not None:
            raise self._broken
        else:
            self._deadline = self._site.waits.monotonic() + float(self._variant["startup_timeout"])
            self._start()

    def _turn_starting(self) -> None:
        serving, now = self._require(), self._site.waits.monotonic()
        if serving.program.poll() is None and now < self._deadline:
            if now >= self._next_ping:
                self._next_ping = now + _PING_PAUSE
                if ping(serving.port) and serving.program.poll() is None:
                    self.phase, self._tries = Phase.HEALTHY, PORT_TRIES
            return
        self._end(unfit=True)

    def _turn_healthy(self) -> None:
        code = self._require().program.poll()
        if code is None:
            return
        if self._restarts:
            self._restarts -= 1
            self._deadline = self._site.waits.monotonic() + float(self._variant["startup_timeout"])
            self._close()
            self._start()
        else:
            self._close()
            self._give_up(f"The serving container ended with exit code {code}, again.{self._tail()}")

    def _turn_stopping(self) -> None:
        serving = self._require()
        if serving.program.poll() is None:
            if self._site.waits.monotonic() >= self._stop_deadline:
                serving.program.kill()
            return
        self._close()
        self._tries -= 1
        if not self._unfit:
            self.phase = Phase.GONE
        elif is_free(serving.port) or not self._tries:
            self._give_up(self._unhealthy())
        else:  # another program took the port in between: once more
            self._start()

    # -- steps

    def _start(self) -> None:
        self.phase, self._next_ping = Phase.STARTING, 0.0
        try:
            self._serving = self._launch(self._site.find_port())
        except EndpointLost as error:
            self._give_up(str(error))
            return
        self._site.on_start()

    def _end(self, *, unfit: bool) -> None:
        self._unfit = unfit
        if self.phase is Phase.FETCHING:
            self._unwanted = True
            return
        if self._serving is None:
            self.phase = Phase.GONE
            return
        if self.phase is not Phase.STOPPING:
            self.phase = Phase.STOPPING
            self._stop_deadline = self._site.waits.monotonic() + STOP_GRACE
            self._serving.program.terminate()

    def _close(self) -> None:
        serving, self._serving = self._require(), None
        serving.close()

    def _give_up(self, reason: str) -> None:
        self.phase, self.lost = Phase.GONE, reason

    def _require(self) -> Serving:
        if self._serving is None:
            raise AssertionError(f"{self.name} is {self.phase} without a program")
        return self._serving

    def _unhealthy(self) -> str:
        return (
            f"The primary container for production variant {self.name} did not pass the ping health check."
            f" Please check CloudWatch logs for this endpoint.{self._tail()}"
        )

    def _tail(self) -> str:
        return " Last lines: " + " | ".join(self._last) if self._last else ""

    # -- the model

    def _fetch(self) -> None:
        try:
            self._fetch_model()
        except Exception as error:  # noqa: BLE001 - carried to the supervisor's own thread
            self._broken = error

    def _fetch_model(self) -> None:
        folder = MLPaths(self._site.place.ml(self._folder)).model
        folder.mkdir(parents=True, exist_ok=True)
        data = model_data(self._variant["container"])
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
        objects, place = self._site.context.objects, self._site.place
        if not packed:
            Downloads(objects, share=may_share(self._site.runner.name)).prefix(uri, folder)
            return
        place.outgoing.mkdir(parents=True, exist_ok=True)
        archive = place.outgoing / f"{self._folder}.tar.gz"
        objects.link(*split_s3(uri), archive)
        try:
            extract(archive, folder)
        finally:
            archive.unlink()

    # -- the program

    def _launch(self, port: int) -> Serving:
        site = self._site
        readable, writable = os.pipe()
        try:
            pump = LogPump(readable, self.ship, self._last.append, site.context.clock, site.waits.monotonic)
            self._introduce()
            program = site.runner.start(self._what(port, writable))
        except BaseException as error:
            os.close(readable)
            if isinstance(error, StartError):
                raise EndpointLost(f"The serving container could not be started: {error}") from error
            raise
        finally:
            os.close(writable)
        return Serving(program, pump, readable, port)

    def _what(self, port: int, output: int) -> Launch:
        site = self._site
        image, replaces_entrypoint = self._variant["image"]
        return Launch(
            command=tuple(self._variant["command"]),
            environment=self._environment(port),
            ml_root=site.place.ml(self._folder),
            scratch=site.place.scratch(self._folder),
            output=output,
            network=True,
            read_only=("model",),
            hidden=(site.context.store.root,),
            image=image,
            replaces_entrypoint=replaces_entrypoint,
            port=port,
        )

    def _environment(self, port: int) -> dict[str, str]:
        region = self._site.context.settings.region
        coverage = self._site.runner.name == "process"
        return {
            **default_environment(),
            **import_path(),
            **{name: os.environ[name] for name in COVERAGE if coverage and name in os.environ},
            **self._variant["container"].get("Environment", {}),
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "IFT_BIND_HOST": HOST,
            "SAGEMAKER_REGION": region,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
        }

    def _introduce(self) -> None:
        image = self._variant["container"]["Image"]
        executed = " ".join([self._variant["executed"], *self._variant["command"]])
        now = int(self._site.context.clock() * 1000)
        lines = introduction(self._site.runner, image, executed, network=True)
        self.ship([(now, line) for line in lines])

    def ship(self, events: Events) -> None:
        """Adds lines to this variant's log."""
        stream = self._variant["log_stream"]
        self._site.context.store.append_log_events(log_group(self._site.endpoint), stream, events)


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
