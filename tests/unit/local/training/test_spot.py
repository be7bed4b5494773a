"""Spot jobs that lose their instances, and the limits of waiting and running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ift_sagemaker import local
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.resources import TRAINING_JOB
from ift_sagemaker.local.supervision.slots import Slots
from ift_sagemaker.local.supervision.waiting import Time
from ift_sagemaker.local.training import document as job_document
from ift_sagemaker.local.training.run import TrainingRun, pending_limit
from tests.unit.local.machine import BUCKET, ENDLESS, WORKING, FakeTime, LocalAWS, Settle
from tests.unit.local.supervision.test_supervisor import FakeRunner, a_job, learn
from tests.unit.local.training.test_operations import CAREFUL

Make = Callable[..., LocalAWS]

SPOT: dict[str, Any] = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
}
CHECKPOINTS = {"S3Uri": f"s3://{BUCKET}/cp"}
RESUMING = """
state = ML / "checkpoints" / "state"
state.parent.mkdir(exist_ok=True)
if (ML / "model" / "draft").exists():
    print("there is a draft", flush=True)
if state.exists():
    print("resumed from", state.read_text(), flush=True)
    (ML / "model" / "weights").write_text("learned")
    sys.exit(0)
def save(*_):
    state.write_text("step 5")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
(ML / "model" / "draft").write_text("lost with the instance")
print("begun", flush=True)
time.sleep(60)
"""


def statuses(job: dict[str, Any]) -> list[str]:
    return [item["Status"] for item in job["SecondaryStatusTransitions"]]


def test_an_interrupted_job_goes_on_from_its_checkpoints(either_aws: LocalAWS) -> None:
    either_aws.train("job", RESUMING, CheckpointConfig=CHECKPOINTS, **SPOT)
    either_aws.says("job", "begun")
    local.interrupt("job", root=either_aws.root)
    job = either_aws.ended("job")
    assert job["TrainingJobStatus"] == "Completed", (job, either_aws.log("job"))
    assert statuses(job) == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    told = [line for line in either_aws.log("job") if not line.startswith("ift-local")]
    assert told == ["begun", "resumed from step 5"]
    assert either_aws.members("out/job/output/model.tar.gz") == {"weights": b"learned"}
    assert either_aws.read("cp/state") == b"step 5"
    assert job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]


def test_without_checkpoints_an_interrupted_job_begins_from_nothing(aws: LocalAWS) -> None:
    aws.train("job", RESUMING, **SPOT)
    aws.says("job", "begun")
    local.interrupt("job", root=aws.root)
    assert Settle().until(lambda: aws.log("job").count("begun") == 2), aws.log("job")
    assert not [line for line in aws.log("job") if line.startswith(("resumed", "there is"))]


def test_a_program_that_does_not_leave_is_killed_and_the_job_goes_on(make_aws: Make) -> None:
    aws = make_aws(runner="process", stop_grace_in_seconds=0.2)
    deaf = 'print("begun", flush=True)\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)'
    aws.train("job", deaf, **SPOT)
    aws.says("job", "begun")
    local.interrupt("job", root=aws.root)
    assert Settle().until(lambda: aws.log("job").count("begun") == 2)
    aws.sagemaker.stop_training_job(TrainingJobName="job")
    job = aws.ended("job")
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Stopped", None)


def test_only_a_spot_job_that_trains_can_be_interrupted(aws: LocalAWS) -> None:
    aws.train("plain", ENDLESS)
    aws.says("plain", "begun")
    with pytest.raises(ConfigError, match="does not use managed spot training"):
        local.interrupt("plain", root=aws.root)
    with pytest.raises(ConfigError, match="there is no training job absent"):
        local.interrupt("absent", root=aws.root)
    aws.train("over", WORKING, **SPOT)
    aws.sagemaker.stop_training_job(TrainingJobName="plain")
    aws.ended("over")
    with pytest.raises(ConfigError, match="has no spot instances to reclaim in the status Completed"):
        local.interrupt("over", root=aws.root)


def test_a_spot_job_over_its_waiting_and_running_time_is_stopped_with_what_it_saved(aws: LocalAWS) -> None:
    stopping = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}
    aws.train("job", CAREFUL, **{**SPOT, "StoppingCondition": stopping})
    job = aws.ended("job")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert statuses(job)[-3:] == ["Stopping", "Uploading", "MaxWaitTimeExceeded"]
    assert aws.members("out/job/output/model.tar.gz") == {"weights": b"saved in time"}


def test_a_spot_job_that_gets_no_instance_in_its_time_never_runs(make_aws: Make) -> None:
    aws = make_aws(runner="process", job_slots=1)
    aws.train("first", ENDLESS)
    aws.says("first", "begun")
    stopping = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}
    aws.train("second", WORKING, **{**SPOT, "StoppingCondition": stopping})
    job = aws.ended("second")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert statuses(job) == ["Starting", "Pending", "Stopping", "MaxWaitTimeExceeded"]
    assert "TrainingStartTime" not in job


@pytest.mark.parametrize(("instance_type", "limited"), [("ml.g5.xlarge", True), ("ml.m5.xlarge", False)])
def test_only_accelerated_jobs_are_limited_in_their_pending_time(
    aws: LocalAWS, instance_type: str, limited: bool
) -> None:
    job = a_job(
        aws,
        ResourceConfig={"InstanceType": instance_type, "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxPendingTimeInSeconds": 1800},
    )
    assert pending_limit(job) == (1800 if limited else None)


def test_a_job_that_is_pending_for_too_long_is_stopped_and_says_so(make_aws: Make) -> None:
    aws = make_aws(runner="process", job_slots=1)
    job = a_job(
        aws,
        ResourceConfig={"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxPendingTimeInSeconds": 1800},
    )
    taken = Slots(aws.root, TRAINING_JOB, 1).take("other")
    assert taken is not None
    waits = FakeTime()
    TrainingRun(aws.context, job, FakeRunner(learn), Time(waits.sleep, waits)).run()
    taken.release()
    found = aws.store.get(TRAINING_JOB, "job")
    assert found is not None
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "Stopped")
    last = found["SecondaryStatusTransitions"][-1]["StatusMessage"]
    assert last == "Training job pending time exceeded MaxPendingTimeInSeconds provided"
    assert 1800 <= waits.now - 1000 < 1802


@pytest.mark.parametrize(("attempts", "status"), [(2, "Completed"), (1, "Failed")])
def test_an_error_of_the_service_itself_is_retried_as_often_as_asked(
    aws: LocalAWS, capsys: pytest.CaptureFixture[str], attempts: int, status: str
) -> None:
    faults = [RuntimeError("first"), RuntimeError("second")]

    def act(launch: Any) -> int:
        if faults:
            raise faults.pop(0)
        return learn(launch)

    job, waits = a_job(aws, RetryStrategy={"MaximumRetryAttempts": attempts}), FakeTime()
    TrainingRun(aws.context, job, FakeRunner(act), Time(waits.sleep, waits)).run()
    found = aws.store.get(TRAINING_JOB, "job")
    assert found is not None
    assert found["TrainingJobStatus"] == status
    restarts = [item for item in found["SecondaryStatusTransitions"] if item["Status"] == "Restarting"]
    assert len(restarts) == attempts
    assert restarts[0]["StatusMessage"] == "Restarting after InternalServerError: RuntimeError: first"
    if status == "Failed":
        assert found["FailureReason"] == "InternalServerError: RuntimeError: second"
    assert "Traceback" in capsys.readouterr().err


def test_an_error_of_the_program_is_never_retried(aws: LocalAWS) -> None:
    aws.train("job", "sys.exit(3)", RetryStrategy={"MaximumRetryAttempts": 5})
    job = aws.ended("job")
    assert job["FailureReason"] == "AlgorithmError: , exit code: 3"
    assert "Restarting" not in statuses(job)


def test_the_time_between_two_lives_of_a_spot_job_is_not_billed() -> None:
    job: dict[str, Any] = {
        "TrainingJobName": "job",
        "TrainingJobStatus": "InProgress",
        "SecondaryStatusTransitions": [],
        "EnableManagedSpotTraining": True,
    }
    job = job_document.advance(job, "Downloading", 100.0)
    job = job_document.interrupt(job_document.advance(job, "Training", 110.0))
    job = job_document.enter(job, "Interrupted", 150.0)
    job = job_document.advance(job_document.released(job, 160.0), "Starting", 160.0)
    with pytest.raises(ServiceError, match="no spot instances to reclaim in the status Starting"):
        job_document.interrupt(job)
    job = job_document.advance(job, "Downloading", 460.0)
    done = job_document.ended(job, "Completed", 500.0)
    assert (done["TrainingTimeInSeconds"], done["BillableTimeInSeconds"]) == (400, 100)
    assert "_interrupted" not in done


def test_a_stop_while_the_instances_are_taken_keeps_what_was_saved(aws: LocalAWS) -> None:
    slow = CAREFUL.replace("sys.exit(0)", "time.sleep(1.5)\n    sys.exit(0)")
    aws.train("job", slow, **SPOT)
    aws.says("job", "begun")
    local.interrupt("job", root=aws.root)
    assert Settle().until(lambda: aws.job("job")["SecondaryStatus"] == "Interrupted")
    aws.sagemaker.stop_training_job(TrainingJobName="job")
    job = aws.ended("job")
    assert statuses(job)[-4:] == ["Interrupted", "Stopping", "Uploading", "Stopped"]
    assert aws.members("out/job/output/model.tar.gz") == {"weights": b"saved in time"}


def test_the_running_time_of_all_lives_together_is_limited(aws: LocalAWS) -> None:
    stopping = {"MaxRuntimeInSeconds": 2, "MaxWaitTimeInSeconds": 60}
    script = 'print("begun", time.time(), flush=True)\ntime.sleep(60)'
    aws.train("job", script, **{**SPOT, "StoppingCondition": stopping})
    assert Settle().until(lambda: [line for line in aws.log("job") if line.startswith("begun")])
    assert not Settle(1.0).until(lambda: aws.job("job")["TrainingJobStatus"] != "InProgress")
    local.interrupt("job", root=aws.root)
    job = aws.ended("job")
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    first, second = (
        item["StartTime"].timestamp()
        for item in job["SecondaryStatusTransitions"]
        if item["Status"] == "Training"
    )
    stopped = next(
        item["StartTime"] for item in job["SecondaryStatusTransitions"] if item["Status"] == "Stopping"
    )
    assert stopped.timestamp() - second < 1.5
    assert first < second
