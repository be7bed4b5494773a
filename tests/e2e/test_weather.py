"""What AWS's weather alone shows, and the commands under it; every other story is told in both weathers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ift_sagemaker import local
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.catalog.weights import WeightsCache
from ift_sagemaker.cli.exits import REFUSED, exit_code
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import CredentialsError
from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.transport import session_on
from ift_sagemaker.local.state.settings import LocalSettings
from ift_sagemaker.local.weather.profile import Weather
from ift_sagemaker.session import Session
from tests.e2e.conftest import MODEL, ONLY_AWS, QUICK
from tests.e2e.test_command_line import _ift
from tests.e2e.tiny import TinyWeights

pytestmark = ONLY_AWS


@pytest.fixture
def pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-in weights in the cache of every process."""
    monkeypatch.setenv("IFT_CACHE", str(tmp_path / "cache"))
    WeightsCache(fetchers=[TinyWeights()]).pull(MODEL)


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


def test_the_commands_bear_the_weather_each_in_a_process_of_its_own(
    root: Path, pulled: None, rows: InstructionDataset, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    settings = (word for name, value in QUICK.items() for word in ("--set", f"{name}={value}"))
    command = ("train", MODEL, str(path), *settings)
    job = _ift(*command).stdout.strip()
    again = _ift(*command)
    assert again.stdout.strip() == job
    assert f"attached to {job}" in again.stderr
    assert _ift("jobs", "wait", job).stdout == "Completed\n"
    ended = local.boto3_session().client("sagemaker").describe_training_job(TrainingJobName=job)
    steps = {entry["MetricName"]: entry["Value"] for entry in ended["FinalMetricDataList"]}["total_steps"]
    assert len(json.loads(_ift("jobs", "metrics", job, "--json").stdout)) == steps

    deployed = _ift("deploy", job, "--wait")
    assert (deployed.returncode, deployed.stdout) == (0, f"{job}\n"), deployed.stderr
    answer = _ift("invoke", job, "word1", "--max-tokens", "2", "--json")
    assert json.loads(answer.stdout)["completion_tokens"] <= 2, answer.stderr
    deleted = _ift("endpoints", "delete", job)
    assert deleted.stdout.splitlines() == [
        f"deleted endpoint {job}",
        f"deleted endpoint-config {job}-config",
        f"deleted model {job}",
    ], deleted.stderr
