"""A local AWS of one's own for each test; whatever it started is gone, and checked to be, at its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker import local
from tests.unit.local.door.sockets import client
from tests.unit.local.machine import LocalAWS, Settle, processes_of

SUPERVISOR = b"ift_sagemaker.local.supervision.supervisor"


@pytest.fixture
def make_aws(tmp_path: Path) -> Iterator[Callable[..., LocalAWS]]:
    """Makes local AWS roots; keyword arguments are LocalSettings."""
    made: list[LocalAWS] = []

    def make(**settings: object) -> LocalAWS:
        aws = LocalAWS(tmp_path / f"aws-{len(made)}", settings)
        made.append(aws)
        return aws

    yield make
    for aws in made:
        end_everything(aws.root)


@pytest.fixture(params=["in process", "over HTTP"])
def either_transport(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Makes clients of services on one fresh local AWS, by each transport in turn."""
    if request.param == "in process":
        yield local.boto3_session(tmp_path / "root").client
    else:
        with local.serve(tmp_path / "root") as served:
            yield partial(client, served)


@pytest.fixture
def aws(make_aws: Callable[..., LocalAWS]) -> LocalAWS:
    """A local AWS with the process runner."""
    return make_aws(runner="process")


@pytest.fixture(params=["process", pytest.param("bwrap", marks=pytest.mark.bwrap)])
def either_aws(request: pytest.FixtureRequest, make_aws: Callable[..., LocalAWS]) -> LocalAWS:
    """A local AWS with each runner in turn."""
    return make_aws(runner=request.param)


def end_everything(root: Path) -> None:
    for pid, command in processes_of(root):
        if SUPERVISOR in command:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    Settle(5.0).until(lambda: not processes_of(root))
    assert processes_of(root) == []
