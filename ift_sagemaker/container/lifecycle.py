"""How a program ends: exit code, failure file, SIGTERM.

SageMaker sends SIGTERM and kills 120 s later (training) or 30 s later (hosting); the first 1024 characters
of `/opt/ml/output/failure` become the job's FailureReason.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from ift_sagemaker.errors import IFTError
from ift_sagemaker.wire.paths import MLPaths

FAILURE_LIMIT = 1024


class Stopped(BaseException):
    """SIGTERM came while there was nothing worth saving; not an Exception, so that no handler keeps it."""


class StopRequest:
    """Whether SIGTERM has come.

    Until `defer` is called the signal interrupts whatever runs by raising Stopped; afterwards it only sets
    `requested`, and the owner of the work stops at the next good place.
    """

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self.receive)

    def defer(self) -> None:
        self._deferred = True

    def receive(self, *_: Any) -> None:
        self.requested = True
        if not self._deferred:
            raise Stopped


class Job(Protocol):
    """A module with `run`: one whole job."""

    def run(self, paths: MLPaths, stop: StopRequest) -> None: ...


def say(line: str) -> None:
    """One line of the job's log, flushed, so that nothing is lost when the job is killed."""
    print(f"ift: {line}", flush=True)  # noqa: T201 - the log of a job is its standard output


def failure_reason(error: BaseException) -> str:
    """What FailureReason will say: the message of our own errors as it is, else type and message."""
    text = error.message if isinstance(error, IFTError) else f"{type(error).__name__}: {error}"
    return text[:FAILURE_LIMIT]


def write_failure(path: Path, error: BaseException) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(failure_reason(error), encoding="utf-8")


def run_job(module: str) -> int:
    """Exit code of the job in `module`: 0 when done or stopped, 1 with a failure file otherwise."""
    stop = StopRequest()
    stop.install()
    return finish_job(module, MLPaths.from_environment(), stop)


def finish_job(module: str, paths: MLPaths, stop: StopRequest) -> int:
    try:
        job: Job = import_module(module)
        job.run(paths, stop)
    except Stopped:
        say("stopped by SIGTERM before the first step; nothing is left in the output folders")
    except Exception as error:  # noqa: BLE001 - the platform learns of every failure through the file
        traceback.print_exc()
        write_failure(paths.failure, error)
        return 1
    return 0


class Server(Protocol):
    """A module with `serve`: one server, to its end."""

    def serve(self, paths: MLPaths, environment: Mapping[str, str]) -> int: ...


def run_server(module: str) -> int:
    """Exit code of the server in `module`: 0 after SIGTERM, 1 when it could not start."""
    signal.signal(signal.SIGTERM, _exit_quietly)
    try:
        server: Server = import_module(module)
        return server.serve(MLPaths.from_environment(), os.environ)
    except Exception as error:  # noqa: BLE001 - reported and turned into the exit code
        traceback.print_exc()
        say(f"the server could not start: {failure_reason(error)}")
        return 1


def _exit_quietly(*_: Any) -> None:
    raise SystemExit(0)
