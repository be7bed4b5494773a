"""A machine's speed from the log of a job that has ended on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ift_sagemaker.plan.calibration import calibrate, is_comparable
from ift_sagemaker.plan.workload import Training
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters, to_wire
from ift_sagemaker.wire.metrics import format_metrics

DESCRIPTION: dict[str, Any] = {
    "TrainingJobName": "ift-job",
    "TrainingJobStatus": "Completed",
    "TrainingTimeInSeconds": 60,
    "AlgorithmSpecification": {"ContainerArguments": ["train"]},
    "HyperParameters": to_wire(parse_hyperparameters({})),
}
DEFAULT = Training.of_hyperparameters(parse_hyperparameters({}))


def _log(*speeds: float) -> list[tuple[int, str]]:
    steps = [
        (10_000 + 5_000 * index, format_metrics({"step": index + 1, "tokens_per_second": speed}))
        for index, speed in enumerate(speeds)
    ]
    return [(0, "begun"), *steps, (99_000, format_metrics({"step": 9, "eval_loss": 1.0}))]


def test_the_speed_is_the_median_of_the_steps_after_the_first() -> None:
    found = calibrate(DESCRIPTION, _log(10, 300, 310, 320, 330, 340))
    assert found is not None
    assert found.tokens_per_second.likely == 320
    assert found.tokens_per_second.low == 300
    assert found.tokens_per_second.high == 340
    assert (found.job_name, found.steps) == ("ift-job", 5)


def test_what_lies_around_the_steps_is_overhead() -> None:
    found = calibrate(DESCRIPTION, _log(300, 300, 300, 300, 300))
    assert found is not None
    assert found.overhead_seconds == pytest.approx(60 - 25)


@pytest.mark.parametrize("speeds", [(), (300,), (300, 300, 300), (300, 0, 0, 0)])
def test_a_log_that_tells_too_little_gives_no_speed(speeds: tuple[float, ...]) -> None:
    assert calibrate(DESCRIPTION, _log(*speeds)) is None


def test_only_runs_with_the_same_settings_are_compared() -> None:
    assert is_comparable(DESCRIPTION, DEFAULT)
    assert is_comparable(DESCRIPTION, replace(DEFAULT, epochs=9, steps=3)), "length decides no speed"
    for other in ({"rows_per_pass": 8}, {"method": "full"}, {"checkpointing": True}, {"dtype": "float32"}):
        assert not is_comparable(DESCRIPTION, replace(DEFAULT, **other))


@pytest.mark.parametrize(
    "change",
    [
        {"TrainingJobStatus": "Stopped"},
        {"AlgorithmSpecification": {"ContainerArguments": ["evaluate"]}},
        {"AlgorithmSpecification": {}},
        {"HyperParameters": {"epochs": "3"}},
    ],
)
def test_jobs_of_another_kind_or_that_did_not_end_well_are_not(change: dict[str, Any]) -> None:
    assert not is_comparable({**DESCRIPTION, **change}, DEFAULT)
