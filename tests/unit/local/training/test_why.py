"""What really fails on this machine is told in plain words."""

from __future__ import annotations

import errno
import json
import sqlite3

import pytest
from click.testing import CliRunner, Result

from ift_sagemaker import local
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.cli.tree import ift
from ift_sagemaker.diagnosis import Diagnosis, Evidence, diagnose
from ift_sagemaker.diagnosis.known import JOB
from ift_sagemaker.diagnosis.seen import why
from ift_sagemaker.local.protocol.errors import disk_full
from ift_sagemaker.local.supervision.breakage import broken
from tests.unit.local.machine import ENDLESS, LocalAWS
from tests.unit.local.training.test_job_safety import kill_supervisors


def _why(aws: LocalAWS, name: str) -> Diagnosis:
    return why(AWSClient(local.boto3_session(aws.root)), Patience(), name)


def test_a_program_that_is_killed_is_told_as_memory(aws: LocalAWS) -> None:
    aws.train("job", "os.kill(os.getpid(), signal.SIGKILL)")
    aws.ended("job")
    assert _why(aws, "job").causes[0].failure == "memory kill"


def test_a_supervisor_that_is_killed_is_told(aws: LocalAWS) -> None:
    aws.train("job", ENDLESS)
    aws.says("job", "begun")
    kill_supervisors(aws.root)
    aws.ended("job")
    found = _why(aws, "job")
    assert found.causes[0].failure == "supervisor died"
    assert found.log_tail[-1] == "begun"


def test_a_program_that_raises_is_told_by_its_own_last_lines(aws: LocalAWS) -> None:
    aws.train("job", "import no_such_package")
    aws.ended("job")
    found = _why(aws, "job")
    assert [(cause.failure, cause.seen_in) for cause in found.causes] == [("package missing", "log")]


def test_a_job_that_ran_too_long_is_told_and_how_to_take_what_it_left(aws: LocalAWS) -> None:
    aws.train("job", ENDLESS, StoppingCondition={"MaxRuntimeInSeconds": 1})
    aws.ended("job")
    found = _why(aws, "job")
    assert found.causes[0].failure == "max runtime"
    assert any("--allow-unfinished" in command for command in found.next)


def test_a_stopped_job_is_told_as_stopped(aws: LocalAWS) -> None:
    aws.train("job", ENDLESS)
    aws.says("job", "begun")
    aws.sagemaker.stop_training_job(TrainingJobName="job")
    aws.ended("job")
    assert _why(aws, "job").causes[0].failure == "stopped"


def test_a_server_that_cannot_start_is_told_as_an_endpoint(aws: LocalAWS) -> None:
    aws.host("end", "import no_such_package")
    assert aws.settled("end")["EndpointStatus"] == "Failed"
    found = _why(aws, "end")
    assert found.evidence.kind == "endpoint"
    assert "package missing" in [cause.failure for cause in found.causes]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        disk_full("/root"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_told_in_whatever_words_it_comes(error: Exception) -> None:
    found = diagnose(Evidence(JOB, "job", "Failed", reason=broken(error)))
    assert found.causes[0].failure == "disk full"


def test_the_command_prints_the_diagnosis_for_people_and_for_machines(aws: LocalAWS) -> None:
    aws.train("job", "import no_such_package")
    aws.ended("job")
    environment = {"IFT_LOCAL_ROOT": str(aws.root), "IFT_CONFIG": str(aws.root / "none")}

    def run(*words: str) -> Result:
        return CliRunner().invoke(ift, ["why", *words, "--target", "local"], env=environment)

    told = run("job")
    assert told.exit_code == 0, told.stderr
    assert "package missing" in told.stdout
    assert "ift jobs logs job" in told.stdout
    assert json.loads(run("job", "--json").stdout)["causes"][0]["failure"] == "package missing"
    assert run("nothing").exit_code == 4
