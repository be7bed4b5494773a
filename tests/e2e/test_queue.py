"""Many jobs at once on a small machine: all are done, in turn, long after those who asked are gone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker import local
from ift_sagemaker.local.state.settings import ROLE_ARN

SLOTS = 2
ASKERS, EACH = 4, 5
JOBS = [f"job-{asker}-{number}" for asker in range(ASKERS) for number in range(EACH)]
PROGRAM = """
import os, pathlib, time
ml = pathlib.Path(os.environ.get("IFT_ML_ROOT", "/opt/ml"))
time.sleep(0.3)
(ml / "model" / "weights").write_text(os.environ["TRAINING_JOB_NAME"])
"""
ASKER = """
import sys
from tests.e2e.test_queue import ask
for name in sys.argv[1:]:
    ask(name)
"""


def ask(name: str) -> None:
    """Creates a small job on the local AWS of the environment."""
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-training:2.9.0"
    command = ["python3", "/opt/ml/input/data/program/main.py"]
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://queue/program/"}
    local.boto3_session().client("sagemaker").create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE_ARN,
        AlgorithmSpecification={
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": command,
        },
        InputDataConfig=[{"ChannelName": "program", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": "s3://queue/out"},
        ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )


def described(names: list[str]) -> list[dict[str, Any]]:
    client = local.boto3_session().client("sagemaker")
    return [client.describe_training_job(TrainingJobName=name) for name in names]


def has_ended(job: dict[str, Any]) -> bool:
    return job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped")


def test_twenty_jobs_at_once_queue_for_two_slots_and_all_finish_with_their_askers_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IFT_LOCAL_JOB_SLOTS", str(SLOTS))
    s3 = local.boto3_session().client("s3")
    s3.create_bucket(Bucket="queue")
    s3.put_object(Bucket="queue", Key="program/main.py", Body=PROGRAM.encode())
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASKER, *JOBS[asker * EACH : (asker + 1) * EACH]],
            cwd=Path(__file__).parents[2],
        )
        for asker in range(ASKERS)
    ]
    assert [asker.wait(120) for asker in askers] == [0] * ASKERS
    waiting = [job for job in described(JOBS) if job["TrainingJobStatus"] == "InProgress"]
    assert waiting, "the askers have ended, the jobs have not"
    last = waiting[-1]["TrainingJobName"]
    local.boto3_session().client("sagemaker").stop_training_job(TrainingJobName=last)

    deadline = time.monotonic() + 180
    while not all(has_ended(job) for job in described(JOBS)):
        assert time.monotonic() < deadline, [job["SecondaryStatus"] for job in described(JOBS)]
        time.sleep(0.5)
    jobs = described(JOBS)
    statuses = {job["TrainingJobName"]: job["TrainingJobStatus"] for job in jobs}
    assert statuses == {**dict.fromkeys(JOBS, "Completed"), last: "Stopped"}
    ran = [job for job in jobs if "TrainingStartTime" in job]
    assert most_at_once(ran) == SLOTS
    for job in ran:
        if job["TrainingJobStatus"] == "Completed":
            assert s3.head_object(Bucket="queue", Key=f"out/{job['TrainingJobName']}/output/model.tar.gz")


def most_at_once(jobs: list[dict[str, Any]]) -> int:
    """The largest number of jobs that had a slot at the same time."""
    ends = [(job["TrainingEndTime"], -1) for job in jobs]
    changes = sorted([*((job["TrainingStartTime"], 1) for job in jobs), *ends])
    running = [sum(step for _, step in changes[: index + 1]) for index in range(len(changes))]
    return max(running)
