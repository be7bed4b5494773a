"""Warm pools as the clock tells them."""

from __future__ import annotations

from typing import Any

import pytest

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.training import warm_pool
from tests.unit.local.machine import WORKING, LocalAWS, refusal

RESOURCES = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
KEPT = {**RESOURCES, "KeepAlivePeriodInSeconds": 600}
DONE: dict[str, Any] = {
    "TrainingJobName": "job",
    "TrainingJobStatus": "Completed",
    "TrainingEndTime": 1000.0,
    "ResourceConfig": KEPT,
}


def test_a_pool_is_in_use_then_available_then_terminated_and_its_billing_ends() -> None:
    running = {"TrainingJobStatus": "InProgress", "ResourceConfig": KEPT}
    assert warm_pool.status(running, 900.0) == {"Status": "InUse"}
    seconds = "ResourceRetainedBillableTimeInSeconds"
    assert warm_pool.status(DONE, 1100.5) == {"Status": "Available", seconds: 100}
    assert warm_pool.status(DONE, 9999.0) == {"Status": "Terminated", seconds: 600}
    failed = {**DONE, "TrainingJobStatus": "Failed"}
    assert warm_pool.status(failed, 1100.0) == {"Status": "Terminated"}
    assert warm_pool.status({**DONE, "ResourceConfig": RESOURCES}, 1100.0) is None


def update(job: dict[str, Any], now: float, **request: Any) -> dict[str, Any]:
    return warm_pool.updated(job, {"TrainingJobName": "job", **request}, now)


def test_an_update_ends_a_pool_or_gives_it_another_period() -> None:
    ended = update(DONE, 1100.0, ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    expected = {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 100}
    assert warm_pool.status(ended, 1500.0) == expected
    longer = update(DONE, 1100.0, ResourceConfig={"KeepAlivePeriodInSeconds": 3600})
    found = warm_pool.status(longer, 2000.0)
    assert found == {"Status": "Available", "ResourceRetainedBillableTimeInSeconds": 1000}


def test_an_update_of_anything_else_is_refused_by_name() -> None:
    with pytest.raises(ServiceError, match="UpdateTrainingJob with ProfilerConfig"):
        update(DONE, 1100.0, ProfilerConfig={})
    with pytest.raises(ServiceError, match=r"without ResourceConfig\.KeepAlivePeriodInSeconds"):
        update(DONE, 1100.0)
    with pytest.raises(ServiceError, match="has no warm pool in the status Available"):
        update(DONE, 9000.0, ResourceConfig={"KeepAlivePeriodInSeconds": 0})


def test_a_pool_is_found_by_its_status_and_keeps_its_job_from_being_deleted(aws: LocalAWS) -> None:
    aws.train("kept", WORKING, ResourceConfig=KEPT)
    aws.train("plain", WORKING)
    for name in ("kept", "plain"):
        aws.ended(name)
    assert aws.job("kept")["WarmPoolStatus"]["Status"] == "Available"
    assert "WarmPoolStatus" not in aws.job("plain")
    (found,) = aws.sagemaker.list_training_jobs(WarmPoolStatusEquals="Available")["TrainingJobSummaries"]
    assert (found["TrainingJobName"], found["WarmPoolStatus"]["Status"]) == ("kept", "Available")
    assert refusal(aws.sagemaker.delete_training_job, TrainingJobName="kept")[0] == "ResourceInUse"
    aws.sagemaker.update_training_job(TrainingJobName="kept", ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    assert aws.job("kept")["WarmPoolStatus"]["Status"] == "Terminated"
    aws.sagemaker.delete_training_job(TrainingJobName="kept")
    plan = f"arn:aws:sagemaker:us-east-1:{aws.settings.account}:training-plan/plan"
    assert aws.sagemaker.list_training_jobs(TrainingPlanArnEquals=plan)["TrainingJobSummaries"] == []
