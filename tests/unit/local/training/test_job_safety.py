"""Jobs that are shut in, left alone or struck down: isolation and crash safety of real supervisors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.local.conftest import SUPERVISOR
from tests.unit.local.machine import (
    BUCKET,
    ENDLESS,
    IMAGE,
    WORKING,
    LocalAWS,
    Settle,
    channel,
    processes_of,
    refusal,
)

Make = Callable[..., LocalAWS]


def test_what_ran_and_how_shut_in_is_told_by_tags_and_in_the_log(either_aws: LocalAWS) -> None:
    runner = either_aws.settings.runner
    either_aws.train("job", WORKING, Tags=[{"Key": "owner", "Value": "me"}])
    arn = either_aws.ended("job")["TrainingJobArn"]
    tags = {tag["Key"]: tag["Value"] for tag in either_aws.sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    assert tags["ift:local-runner"] == runner
    assert tags["ift:executed-image"].startswith("ift-local/python:")
    assert tags["owner"] == "me"
    first = either_aws.log("job")[:4]
    assert IMAGE in first[0]
    assert "python3 /opt/ml/input/data/program/main.py" in first[1]
    told = first[2] if runner == "bwrap" else first[3]
    assert "network isolation" in told


def test_programs_that_write_their_inputs_cannot_change_what_is_in_s3(either_aws: LocalAWS) -> None:
    rows = either_aws.put("rows/a.txt", "original")
    script = """
path = ML / "input/data/rows/a.txt"
print(oct(path.stat().st_mode & 0o777))
try:
    path.write_text("overwritten")
except OSError as error:
    print(error)
"""
    either_aws.train("job", script, channels=[channel("rows", rows)])
    assert either_aws.ended("job")["TrainingJobStatus"] == "Completed"
    assert "0o444" in either_aws.log("job")
    assert either_aws.read("rows/a.txt") == b"original"


@pytest.mark.bwrap
def test_a_sealed_program_has_no_network_no_home_and_not_the_local_root(make_aws: Make) -> None:
    aws = make_aws(runner="bwrap", require_isolation="bwrap")
    script = """
import socket
print("interfaces", [name for _, name in socket.if_nameindex()])
print("root", os.path.exists(sys.argv[1]), "home", os.path.exists(sys.argv[2]))
print("processes", len([name for name in os.listdir("/proc") if name.isdigit()]) < 5)
print("files", sorted(os.listdir("/opt/ml")), "IFT_ML_ROOT" in os.environ)
for path in ("/etc/new", "/opt/ml/input/config/new", "/usr/new"):
    try:
        pathlib.Path(path).touch()
        print("wrote", path)
    except OSError:
        pass
pathlib.Path("/tmp/new").touch()
"""
    home = str(Path.home() / ".profile")
    aws.train("job", script, str(aws.root), home)
    assert aws.ended("job")["TrainingJobStatus"] == "Completed", aws.log("job")
    assert aws.log("job")[4:] == [
        "interfaces ['lo']",
        "root False home False",
        "processes True",
        "files ['input', 'model', 'output'] False",
    ]


def test_a_job_whose_supervisor_is_killed_is_failed_and_nothing_of_it_runs_on(either_aws: LocalAWS) -> None:
    script = """
import subprocess
subprocess.Popen(["sleep", "60"])
print("begun", flush=True)
time.sleep(60)
"""
    either_aws.train("job", script)
    either_aws.says("job", "begun")
    kill_supervisors(either_aws.root)
    job = either_aws.ended("job")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: the supervisor of this job died")
    assert job["SecondaryStatusTransitions"][-1]["Status"] == "Failed"
    assert Settle(3).until(lambda: not processes_of(either_aws.root))
    assert list((either_aws.root / "jobs").iterdir()) == []
    summaries = either_aws.sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert [item["TrainingJobStatus"] for item in summaries] == ["Failed"]


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.1, 0.15, 0.2])
def test_a_supervisor_killed_at_any_moment_leaves_an_ended_job_and_no_process(
    either_aws: LocalAWS, moment: float
) -> None:
    script = """
import subprocess
(ML / "model" / "weights").write_bytes(bytes(2_000_000))
subprocess.Popen(["sleep", "60"])
"""
    either_aws.train("job", script, CheckpointConfig={"S3Uri": f"s3://{BUCKET}/cp"})
    time.sleep(moment)
    kill_supervisors(either_aws.root)
    job = either_aws.ended("job")
    assert job["TrainingJobStatus"] in ("Failed", "Completed")
    assert Settle(3).until(lambda: not processes_of(either_aws.root))
    assert list((either_aws.root / "jobs").iterdir()) == []
    for key in either_aws.keys("out/"):  # what is in S3 is whole
        assert either_aws.members(key) == {"weights": bytes(2_000_000)}


def test_a_slot_of_a_killed_supervisor_is_free_at_once(make_aws: Make) -> None:
    aws = make_aws(runner="process", job_slots=1)
    aws.train("first", ENDLESS)
    aws.says("first", "begun")
    kill_supervisors(aws.root)
    aws.train("second", WORKING)
    assert aws.ended("second")["TrainingJobStatus"] == "Completed"
    assert aws.job("first")["TrainingJobStatus"] == "Failed"


def test_what_a_program_leaves_running_is_ended_with_the_job(aws: LocalAWS) -> None:
    script = """
import subprocess
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.Popen(["sleep", "61"], start_new_session=True, **quiet)
subprocess.Popen(["sleep", "62"])
"""
    aws.train("job", script)
    assert aws.ended("job")["TrainingJobStatus"] == "Completed"
    assert Settle(2).until(lambda: not processes_of(aws.root))


def test_a_job_outlives_the_process_that_created_it(aws: LocalAWS) -> None:
    aws.put("programs/job/main.py", "import time; time.sleep(0.4); print('done')")
    creator = (
        "import json, sys; from pathlib import Path;"
        "from ift_sagemaker.local.context import create_context;"
        "from ift_sagemaker.local.state.settings import LocalSettings;"
        "from ift_sagemaker.local.training.operations import create_training_job;"
        "settings = LocalSettings(root=Path(sys.argv[1]), runner='process');"
        "create_training_job(create_context(settings), json.loads(sys.argv[2]))"
    )
    command = [sys.executable, "-c", creator, str(aws.root), json.dumps(aws.request("job"))]
    subprocess.run(command, check=True, timeout=30)
    assert aws.job("job")["TrainingJobStatus"] == "InProgress"
    assert aws.ended("job")["TrainingJobStatus"] == "Completed"
    assert aws.log("job")[-1] == "done"


def test_required_isolation_is_refused_rather_than_downgraded(make_aws: Make) -> None:
    aws = make_aws(runner="process", require_isolation="bwrap")
    code, message = refusal(aws.sagemaker.create_training_job, **aws.request("job"))
    assert code == "UnsupportedOperation"
    assert message.startswith("Isolation cannot be given")


def kill_supervisors(root: Path) -> None:
    for pid, command in processes_of(root):
        if SUPERVISOR in command:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
