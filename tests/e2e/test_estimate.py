"""A finished local job tells the next plan how fast this machine is."""

from __future__ import annotations

from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.machine import measured_speed
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.session import Session
from tests.e2e.conftest import MODEL, QUICK


def test_a_finished_job_calibrates_the_next_plan_and_tells_its_cost(
    session: Session, rows: InstructionDataset
) -> None:
    settings = {**QUICK, "epoch": 2}
    session.calibrate = measured_speed
    before = session.plan(MODEL, rows, hyperparameters=settings).estimate
    assert before is not None
    assert before.here_seconds is None

    job = session.fine_tune(MODEL, rows, hyperparameters=settings, compute=Compute(max_cost=1.0))
    job.wait(timeout=120)
    assert 60 <= job.description["StoppingCondition"]["MaxRuntimeInSeconds"] < 3600 / 1.408
    cost = job.cost()
    assert cost.billable_seconds is not None
    assert cost.billable_seconds == job.description["BillableTimeInSeconds"]
    assert cost.usd == round(cost.billable_seconds * 1.408 / 3600, 2)
    assert not cost.billed

    after = session.plan(MODEL, rows, hyperparameters={**settings, "seed": 5}).estimate
    assert after is not None
    assert after.target.calibration is not None
    assert after.target.calibration.job_name == job.name
    measured = job.metrics()["tokens_per_second"].iloc[1:].median()
    assert after.target.calibration.tokens_per_second.likely == measured
    assert after.here_seconds is not None
    other = session.plan(MODEL, rows, hyperparameters={**settings, "peft_type": "None"}).estimate
    assert other is not None
    assert other.here_seconds is None, "full fine-tuning is not as fast as LoRA"
