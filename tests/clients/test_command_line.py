"""The AWS command line, version 1, as people type it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.clients.conftest import ROLE, TRAINING_IMAGE, Clients

pytestmark = [pytest.mark.clients, pytest.mark.bwrap]


def test_s3_commands_move_files_in_and_out(clients: Clients) -> None:
    here = clients.folder / "here"
    (here / "below").mkdir(parents=True)
    (here / "one.txt").write_text("one")
    (here / "below" / "two.txt").write_text("two")
    assert clients.aws("s3", "mb", "s3://by-hand") == "make_bucket: by-hand\n"
    clients.aws("s3", "cp", str(here / "one.txt"), "s3://by-hand/copied.txt")
    clients.aws("s3", "sync", str(here), "s3://by-hand/tree", "--only-show-errors")
    listed = clients.aws("s3", "ls", "s3://by-hand", "--recursive")
    assert [line.split()[-1] for line in listed.splitlines()] == [
        "copied.txt",
        "tree/below/two.txt",
        "tree/one.txt",
    ]
    clients.aws("s3", "sync", "s3://by-hand/tree", str(clients.folder / "back"), "--only-show-errors")
    assert (clients.folder / "back" / "below" / "two.txt").read_text() == "two"
    clients.aws("s3", "rm", "s3://by-hand", "--recursive", "--only-show-errors")
    assert clients.aws("s3", "ls", "s3://by-hand", "--recursive").strip() == ""


def test_a_job_of_the_command_line_runs_and_is_found_again(clients: Clients) -> None:
    program = clients.folder / "main.py"
    program.write_text("print('trained by hand', flush=True)\n")
    clients.aws("s3", "mb", "s3://job-by-hand")
    clients.aws("s3", "cp", str(program), "s3://job-by-hand/program/main.py", "--only-show-errors")
    request = clients.folder / "request.json"
    request.write_text(json.dumps(_request()))
    made = clients.aws("sagemaker", "create-training-job", "--cli-input-json", f"file://{request}")
    assert made["TrainingJobArn"].endswith(":training-job/by-hand")

    job = _ended(clients)
    assert job["TrainingJobStatus"] == "Completed", job
    # asked only now, since this waiter asks every two minutes and cannot be told otherwise
    clients.aws("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", "by-hand")
    found = clients.aws("sagemaker", "list-training-jobs", "--name-contains", "by-hand")
    assert [row["TrainingJobName"] for row in found["TrainingJobSummaries"]] == ["by-hand"]
    events = clients.aws(
        "logs",
        "filter-log-events",
        *("--log-group-name", "/aws/sagemaker/TrainingJobs"),
        *("--log-stream-name-prefix", "by-hand/"),
    )
    assert "trained by hand" in [event["message"] for event in events["events"]]


def _ended(clients: Clients) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        job: dict[str, Any] = clients.aws(
            "sagemaker", "describe-training-job", "--training-job-name", "by-hand"
        )
        if job["TrainingJobStatus"] != "InProgress" or time.monotonic() > deadline:
            return job


def _request() -> dict[str, Any]:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": "s3://job-by-hand/program/",
        "S3DataDistributionType": "FullyReplicated",
    }
    return {
        "TrainingJobName": "by-hand",
        "RoleArn": ROLE,
        "AlgorithmSpecification": {
            "TrainingImage": TRAINING_IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "/opt/ml/input/data/program/main.py"],
        },
        "InputDataConfig": [{"ChannelName": "program", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": "s3://job-by-hand/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
