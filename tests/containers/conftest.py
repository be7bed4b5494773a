"""Fixtures of the tier `engine`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from ift_sagemaker.local import administration
from ift_sagemaker.local.running.engines import Engine
from tests.containers.engines import TESTED, missing, required
from tests.unit.local.machine import LocalAWS, Settle, processes_of

ENGINES = [pytest.param(name, marks=pytest.mark.engine) for name in TESTED]
RUNNERS = ["process", pytest.param("bwrap", marks=pytest.mark.bwrap), *ENGINES]
MakeAWS = Callable[..., LocalAWS]


def require_engine(name: str) -> None:
    """Skips where an engine is not there, fails where engines are required."""
    reason = missing(name)
    if reason and not required():
        pytest.skip(reason)
    assert reason is None


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each tested engine in turn."""
    require_engine(request.param)
    return Engine(request.param)


@pytest.fixture
def make_aws(tmp_path: Path) -> Iterator[MakeAWS]:
    """Makes a local AWS with a runner and more LocalSettings; afterwards nothing of it may run."""
    made: list[LocalAWS] = []

    def make(runner: str, **settings: object) -> LocalAWS:
        made.append(LocalAWS(tmp_path / f"aws-{len(made)}", {"runner": runner, **settings}))
        return made[-1]

    yield make
    for aws in made:
        administration.reset(aws.settings)
        assert Settle(10).until(partial(_is_quiet, aws.root))


@pytest.fixture(params=RUNNERS)
def any_aws(request: pytest.FixtureRequest, make_aws: MakeAWS) -> LocalAWS:
    """A local AWS with each runner in turn."""
    if request.param in TESTED:
        require_engine(request.param)
    return make_aws(request.param)


@pytest.fixture
def aws(engine: Engine, make_aws: MakeAWS) -> LocalAWS:
    """A local AWS with each engine in turn."""
    return make_aws(engine.name, memory_in_bytes=256 * 2**20)


def _is_quiet(root: Path) -> bool:
    return not processes_of(root)


def end_supervisor(aws: LocalAWS, kind: str, name: str) -> None:
    """As the kernel does when memory is short."""
    pid = administration.supervisor_pid(aws.settings, kind, name)
    assert pid is not None
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
