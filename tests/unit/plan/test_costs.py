"""What a job has cost."""

from __future__ import annotations

from typing import Any

import pytest

from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.plan.costs import job_cost
from ift_sagemaker.plan.quantities import Range

DESCRIPTION: dict[str, Any] = {
    "TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/j",
    "ResourceConfig": {"InstanceType": "ml.g5.2xlarge", "InstanceCount": 2},
    "TrainingTimeInSeconds": 500,
    "BillableTimeInSeconds": 100,
}


def _cost(**changes: Any) -> Any:
    return job_cost({**DESCRIPTION, **changes}, PriceBook.shipped(), billed=True)


def test_it_is_billed_seconds_times_instances_times_price() -> None:
    assert _cost().usd == round(100 * 2 * 1.515 / 3600, 2) == 0.08


def test_a_spot_job_saves_what_was_not_billed() -> None:
    cost = _cost(EnableManagedSpotTraining=True)
    assert cost.spot_saving == pytest.approx(0.8)
    assert "spot saved 80%" in str(cost)
    assert _cost().spot_saving is None


def test_a_job_that_runs_has_no_cost_yet() -> None:
    cost = job_cost(
        {"ResourceConfig": DESCRIPTION["ResourceConfig"], "TrainingJobArn": DESCRIPTION["TrainingJobArn"]},
        PriceBook.shipped(),
        billed=True,
    )
    assert (cost.usd, cost.billable_seconds) == (None, None)
    assert "has ended" in str(cost)


def test_a_region_without_a_price_gives_seconds_alone() -> None:
    cost = _cost(TrainingJobArn="arn:aws:sagemaker:eu-central-1:123456789012:training-job/j")
    assert cost.usd is None
    assert str(cost) == "100 s billed on ml.g5.2xlarge, no price known"


def test_what_ran_on_this_machine_was_not_billed() -> None:
    cost = job_cost(DESCRIPTION, PriceBook.shipped(), billed=False, estimated=Range(0.01, 0.1, 1))
    assert "nothing was billed" in str(cost)
    assert "estimated 0.10 (0.01 to 1.00)" in str(cost)
    assert cost.to_dict()["estimated_usd"] == {"low": 0.01, "likely": 0.1, "high": 1}
