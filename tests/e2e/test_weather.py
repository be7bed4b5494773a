"""The same stories under AWS's weather: waits, stale reads, throttled lists, empty pages, late lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from ift_sagemaker import local
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.catalog.weights import Weights
from ift_sagemaker.cli.exits import REFUSED, exit_code
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import CredentialsError
from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.transport import session_on
from ift_sagemaker.local.state.settings import LocalSettings
from ift_sagemaker.local.weather.profile import Weather
from ift_sagemaker.session import Session
from tests.e2e.conftest import MODEL, QUICK, stand_in_session
from tests.e2e.test_whole_path import (
    test_rows_become_answers_and_nothing_is_left,
    test_two_callers_at_once_start_one_job,
)

__all__ = [
    "test_rows_become_answers_and_nothing_is_left",
    "test_two_callers_at_once_start_one_job",
]


@pytest.fixture(autouse=True)
def _weather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFT_LOCAL_WEATHER", "aws")


@pytest.fixture
def session(root: Path, stand_in: Weights, _weather: None) -> Session:
    return stand_in_session(stand_in, late_log=2 * Weather().late_log)


def test_the_weather_is_really_there(session: Session, rows: InstructionDataset) -> None:
    job = session.fine_tune(MODEL, rows, hyperparameters=QUICK)
    assert list(session.training_jobs()) == [], "it is listed later"
    job.wait(timeout=120)
    seen = [entry["Status"] for entry in job.description["SecondaryStatusTransitions"]]
    assert "Pending" in seen, "it had to wait for capacity"
    assert any("ift_metrics" in line.message for line in job.logs())


def test_credentials_that_end_while_waiting_leave_the_job_running_and_say_how_to_return(
    session: Session, rows: InstructionDataset
) -> None:
    context = create_context(LocalSettings.from_environment())
    short = session_on(create_app(context, Weather(token_life=1.0)), "us-east-1")
    job = session.fine_tune(MODEL, rows, hyperparameters=QUICK)
    session.client = AWSClient(short)
    with pytest.raises(CredentialsError) as caught:
        session.training_job(job.name).wait(timeout=120)
    assert f"Training job {job.name} goes on" in str(caught.value)
    assert f"ift jobs wait {job.name}" in str(caught.value)
    assert exit_code(caught.value) == REFUSED == 4
    assert session.training_job(job.name).wait(timeout=120).status == "Completed"
    assert local.status()["jobs"] == {job.name: "Completed"}
