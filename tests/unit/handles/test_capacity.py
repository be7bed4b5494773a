"""Where AWS has no instance to give, the types that were named are tried in order, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.catalog.weights import Weights, describe
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import (
    CapacityError,
    ConfigError,
    CostLimitError,
    QuotaError,
    TrainingJobFailed,
)
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.session import Session
from ift_sagemaker.training import Progress, TrainingJob
from tests.unit.handles.fakes import Clock, FakeAWS

MODEL = "smollm2-135m-instruct"
ROWS = InstructionDataset.from_rows([{"instruction": "a", "output": "b"}])
LACKING = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML"
)
TYPES = ("ml.g5.xlarge", "ml.g6.xlarge", "ml.g5.2xlarge")
COMPUTE = Compute(instance_type=TYPES[0], instance_types=TYPES[1:])


class ScarceAWS(FakeAWS):
    """Refuses some types at once, and lets jobs on others fail of capacity at the first look."""

    def __init__(self, refused: tuple[str, ...] = (), failing: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.refused, self.failing = refused, failing
        self.error: Exception = CapacityError("none", code="InsufficientInstanceCapacity")
        self.asked: list[str] = []
        self.on_describe = self._look

    def create_training_job(self, request: Any) -> str:
        instance_type = request["ResourceConfig"]["InstanceType"]
        self.asked.append(instance_type)
        if instance_type in self.refused:
            raise self.error
        return super().create_training_job(request)

    def _look(self, job: dict[str, Any]) -> None:
        if job["TrainingJobStatus"] != "InProgress":
            return
        if job["ResourceConfig"]["InstanceType"] in self.failing:
            job.update(TrainingJobStatus="Failed", SecondaryStatus="Failed", FailureReason=LACKING)
        else:
            job.update(TrainingJobStatus="Completed", SecondaryStatus="Completed")


class _Weights:
    def __init__(self, weights: Weights) -> None:
        self.find = lambda _: weights


@pytest.fixture
def session_on(tmp_path: Path) -> Callable[[FakeAWS], Session]:
    (tmp_path / "config.json").write_text("{}")
    weights = _Weights(describe(MODEL, tmp_path))

    def make(aws: FakeAWS) -> Session:
        return Session(
            aws,  # type: ignore[arg-type]
            role="arn:aws:iam::123456789012:role/execution",
            weights=weights,  # type: ignore[arg-type]
            patience=Clock().patience(),
        )

    return make


Make = Callable[[FakeAWS], Session]


def _type(job: TrainingJob) -> str:
    return str(job.description["ResourceConfig"]["InstanceType"])


def test_the_first_type_that_aws_can_give_is_taken(session_on: Make) -> None:
    aws = ScarceAWS(refused=TYPES[:2])
    job = session_on(aws).fine_tune(MODEL, ROWS, compute=COMPUTE)
    assert aws.asked == list(TYPES)
    assert _type(job.refresh()) == TYPES[2]


def test_the_type_that_capacity_gave_is_no_part_of_the_name(session_on: Make) -> None:
    names = {
        session_on(ScarceAWS(refused=TYPES[:n])).fine_tune(MODEL, ROWS, compute=COMPUTE).name
        for n in (0, 1, 2)
    }
    assert len(names) == 1


def test_where_none_can_be_had_every_type_tried_is_named(session_on: Make) -> None:
    with pytest.raises(CapacityError) as caught:
        session_on(ScarceAWS(refused=TYPES)).fine_tune(MODEL, ROWS, compute=COMPUTE)
    assert caught.value.tried == TYPES


def test_without_alternatives_nothing_else_is_tried(session_on: Make) -> None:
    aws = ScarceAWS(refused=TYPES[:1])
    with pytest.raises(CapacityError):
        session_on(aws).fine_tune(MODEL, ROWS, compute=Compute(instance_type=TYPES[0]))
    assert aws.asked == [TYPES[0]]


def test_a_quota_is_no_matter_of_capacity_and_is_not_gone_around(session_on: Make) -> None:
    aws = ScarceAWS(refused=TYPES[:1])
    aws.error = QuotaError("0")
    with pytest.raises(QuotaError):
        session_on(aws).fine_tune(MODEL, ROWS, compute=COMPUTE)
    assert aws.asked == [TYPES[0]]


def test_a_job_that_failed_of_capacity_goes_on_as_the_next_attempt_while_it_is_waited_for(
    session_on: Make,
) -> None:
    aws = ScarceAWS(failing=TYPES[:2])
    job = session_on(aws).fine_tune(MODEL, ROWS, compute=COMPUTE)
    first, looks = job.name, list[Progress]()
    job.wait(on_progress=looks.append)
    assert (job.status, _type(job), job.name) == ("Completed", TYPES[2], f"{first}-3")
    assert aws.asked == list(TYPES)
    assert looks[-1].status == "Completed"


def test_a_wait_whose_types_are_used_up_tells_the_last_failure(session_on: Make) -> None:
    aws = ScarceAWS(failing=TYPES)
    job = session_on(aws).fine_tune(MODEL, ROWS, compute=COMPUTE)
    with pytest.raises(TrainingJobFailed, match="CapacityError"):
        job.wait(on_progress=list[Progress]().append)
    assert aws.asked == list(TYPES)


def test_another_process_goes_on_where_the_last_attempt_lacked_capacity(session_on: Make) -> None:
    aws = ScarceAWS(failing=TYPES[:1])
    session_on(aws).fine_tune(MODEL, ROWS, compute=COMPUTE).refresh()
    again = session_on(aws).fine_tune(MODEL, ROWS, compute=COMPUTE)
    assert aws.asked == list(TYPES[:2])
    assert again.name.endswith("-2")


def test_used_up_types_are_tried_anew_only_when_asked(session_on: Make) -> None:
    aws = ScarceAWS(failing=TYPES)
    session = session_on(aws)
    with pytest.raises(TrainingJobFailed):
        session.fine_tune(MODEL, ROWS, compute=COMPUTE).wait(on_progress=list[Progress]().append)
    with pytest.raises(CapacityError, match="retry"):
        session.fine_tune(MODEL, ROWS, compute=COMPUTE)
    aws.failing = ()
    assert session.fine_tune(MODEL, ROWS, compute=COMPUTE, retry=True).wait().status == "Completed"
    assert aws.asked == [*TYPES, TYPES[0]]


def test_a_failure_of_something_else_still_asks_for_retry(session_on: Make) -> None:
    aws = ScarceAWS()
    session = session_on(aws)
    job = session.fine_tune(MODEL, ROWS, compute=COMPUTE)
    aws.jobs[job.name].update(TrainingJobStatus="Failed", FailureReason="AlgorithmError: x, exit code: 1")
    with pytest.raises(TrainingJobFailed, match="retry"):
        session.fine_tune(MODEL, ROWS, compute=COMPUTE)
    assert len(aws.asked) == 1


@pytest.mark.parametrize("dearer", ["ml.p4d.24xlarge", "ml.not.known"])
def test_a_type_above_the_price_limit_or_without_a_price_is_refused_before_anything_is_sent(
    session_on: Make, dearer: str
) -> None:
    aws = ScarceAWS()
    compute = Compute(instance_type=TYPES[0], instance_types=(dearer,), max_usd_per_hour=2.0)
    with pytest.raises(ConfigError, match=f"{dearer}.*max_usd_per_hour"):
        session_on(aws).fine_tune(MODEL, ROWS, compute=compute)
    with pytest.raises(ConfigError, match=dearer):
        session_on(aws).plan(MODEL, ROWS, compute=compute)
    assert (aws.asked, aws.objects.sent) == ([], [])


def test_every_type_is_held_to_max_cost_before_the_first_is_tried(session_on: Make) -> None:
    aws = ScarceAWS(refused=TYPES[:1])
    compute = Compute(instance_type=TYPES[0], instance_types=("ml.p5.4xlarge",), max_cost=2.0)
    with pytest.raises(CostLimitError, match=r"ml\.p5\.4xlarge"):
        session_on(aws).fine_tune(MODEL, ROWS, compute=compute)
    assert (aws.asked, aws.objects.sent) == ([], [])
