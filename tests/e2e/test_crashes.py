"""What is killed is told, and what was accepted is not lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from ift_sagemaker import local
from ift_sagemaker.catalog.weights import Weights
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import TrainingJobFailed
from ift_sagemaker.session import Session
from ift_sagemaker.training import TrainingJob
from tests.e2e.conftest import MODEL, ONLY_CALM, QUICK


def _training(session: Session, rows: InstructionDataset) -> TrainingJob:
    """A job that trains and would go on for long."""
    job = session.fine_tune(MODEL, rows, hyperparameters={**QUICK, "epoch": 1000})
    for progress in job.watch():
        if any("ift_metrics" in line.message for line in progress.lines):
            return job
    raise AssertionError(job.description)


def test_a_killed_supervisor_leaves_a_failed_job_with_a_reason_and_no_process(
    session: Session, rows: InstructionDataset
) -> None:
    job = _training(session, rows)
    processes = local.status()["processes"]
    assert len(processes) >= 1
    supervisor = local.supervisor_pid("job", job.name)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    with pytest.raises(TrainingJobFailed) as caught:
        job.wait(timeout=60)
    assert "supervisor" in caught.value.failure_reason
    assert [found["TrainingJobStatus"] for found in session.training_jobs()] == ["Failed"]
    assert local.status()["processes"] == []
    again = session.fine_tune(MODEL, rows, hyperparameters={**QUICK, "epoch": 1000}, retry=True)
    assert again.name == f"{job.name}-2"
    again.stop()


ASKER = """
import sys
from pathlib import Path
from ift_sagemaker.catalog.weights import describe
from ift_sagemaker.data import InstructionDataset
from tests.e2e.conftest import MODEL, QUICK, stand_in_session
session = stand_in_session(describe("stand-in", Path(sys.argv[1])))
rows = InstructionDataset.from_rows([{"instruction": "a", "output": "b"}] * 4)
print(session.fine_tune(MODEL, rows, hyperparameters=QUICK).name)
"""


# under AWS's weather the commands of test_weather.py do the same, each in a process of its own
@ONLY_CALM
def test_a_job_outlives_the_process_that_asked_for_it(session: Session, stand_in: Weights) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASKER, str(stand_in.folder)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    job = session.training_job(asked.stdout.strip())
    assert job.status == "InProgress", "the asker has ended, the job has not"
    assert job.wait(timeout=120).status == "Completed"


# the calls are those of the whole path, and test_queue.py has many jobs wait for slots in both weathers
@ONLY_CALM
def test_jobs_beyond_the_slots_wait_their_turn_and_all_finish(
    session: Session, rows: InstructionDataset
) -> None:
    jobs = [session.fine_tune(MODEL, rows, hyperparameters={**QUICK, "seed": seed}) for seed in range(3)]
    assert [job.wait(timeout=240).status for job in jobs] == ["Completed"] * 3
    spans = sorted((job.description["TrainingStartTime"], job.description["TrainingEndTime"]) for job in jobs)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans)), "there is one slot"
