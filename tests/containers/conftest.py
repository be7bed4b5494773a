"""Fixtures of the tier `engine`."""

from __future__ import annotations

import pytest

from ift_sagemaker.local.running.engines import Engine
from tests.containers.engines import TESTED, missing, required


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.engine) for name in TESTED])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each tested engine in turn; one that is not there is skipped, but fails where engines are required."""
    reason = missing(request.param)
    if reason and not required():
        pytest.skip(reason)
    assert reason is None
    return Engine(request.param)
