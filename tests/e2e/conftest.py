"""One local AWS a story, with stand-in weights; afterwards nothing of it may be left running.

Every story is told twice, in calm weather and under AWS's, as a client of either would live it. One that is
told in a single weather says so above itself, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ift_sagemaker import local
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.catalog.weights import Weights, describe
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.local.state.settings import ROLE_ARN, WEATHERS, LocalSettings
from ift_sagemaker.local.weather.profile import weather_of
from ift_sagemaker.session import Session
from tests.e2e import tiny

MODEL = "smollm2-135m-instruct"
ONLY_CALM = pytest.mark.parametrize("weather", ["calm"])
ONLY_AWS = pytest.mark.parametrize("weather", ["aws"])
QUICK = {"epoch": 1, "max_input_length": 256, "per_device_train_batch_size": 2}
"""Few, small steps: these stories are about the way, not about what is learnt."""


class StandInWeights:
    """Stands where WeightsCache stands; gives tiny random weights under any model's name."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def find(self, model_id: str) -> Weights | None:
        return self._weights

    def pull(self, model_id: str, progress: Callable[[str], None] | None = None) -> Weights:
        return self._weights


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return describe("stand-in", tiny.build(tmp_path_factory.mktemp("tiny") / "weights"))


@pytest.fixture(params=WEATHERS)
def weather(request: pytest.FixtureRequest) -> str:
    """One of the weathers; a story is told in both."""
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weather: str) -> Iterator[Path]:
    """Root of a local AWS, also for processes started by the test."""
    folder = tmp_path / "aws"
    monkeypatch.setenv("IFT_LOCAL_ROOT", str(folder))
    monkeypatch.setenv("IFT_LOCAL_JOB_SLOTS", "1")
    monkeypatch.setenv("IFT_LOCAL_WEATHER", weather)
    yield folder
    local.reset()
    assert not folder.exists() or not any(folder.iterdir()), "the local AWS left something behind"


def stand_in_session(stand_in: Weights) -> Session:
    """A session on the local AWS of the environment, with stand-in weights."""
    weather = weather_of(LocalSettings.from_environment())
    late_log = 2 * weather.late_log if weather else 0.0
    return Session(
        AWSClient(local.boto3_session()),
        role=ROLE_ARN,
        weights=StandInWeights(stand_in),  # type: ignore[arg-type]
        patience=Patience(interval_in_seconds=0.1, late_log_in_seconds=late_log),
    )


@pytest.fixture
def session(root: Path, stand_in: Weights) -> Session:
    return stand_in_session(stand_in)


@pytest.fixture
def rows() -> InstructionDataset:
    return InstructionDataset.from_rows(
        [{"instruction": "Repeat the word", "input": f"word{n}", "output": f"word{n}"} for n in range(12)]
    )


def soon(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """What a listing shows at once in calm weather and after a while under AWS's."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come to hold"
        time.sleep(0.1)
