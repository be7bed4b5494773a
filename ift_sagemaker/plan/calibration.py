"""A speed measured on the machine that will train: from the log of a job that has ended there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ift_sagemaker.plan.quantities import Range
from ift_sagemaker.plan.workload import Training
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters
from ift_sagemaker.wire.metrics import parse_metrics

MIN_STEPS = 3
_WARM_UP_STEPS = 1


@dataclass(frozen=True)
class Calibration:
    """Real tokens a second of a finished job's steps (10th percentile, median and 90th percentile), and the
    seconds around its steps: loading, evaluating, saving.
    """

    job_name: str
    tokens_per_second: Range
    overhead_seconds: float
    steps: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "job_name": self.job_name,
            "tokens_per_second": self.tokens_per_second.to_dict(),
            "overhead_seconds": self.overhead_seconds,
            "steps": self.steps,
        }


def settings_class(training: Training) -> tuple[object, ...]:
    """What the speed depends on beside model and machine; runs of the same class are comparable."""
    return (
        training.method,
        training.lora_rank if training.method != "full" else 0,
        training.checkpointing,
        training.dtype,
        training.rows_per_pass,
        training.passes_per_step,
    )


def is_comparable(description: Mapping[str, Any], training: Training) -> bool:
    """Whether a described job trained as `training` would and ended well."""
    arguments = description.get("AlgorithmSpecification", {}).get("ContainerArguments")
    if description.get("TrainingJobStatus") != "Completed" or arguments != ["train"]:
        return False
    try:
        values = parse_hyperparameters(description.get("HyperParameters", {}))
    except ValueError:
        return False
    return settings_class(Training.of_hyperparameters(values)) == settings_class(training)


def calibrate(description: Mapping[str, Any], lines: Iterable[tuple[int, str]]) -> Calibration | None:
    """The speed that a finished job's log tells; None where it has too few steps.

    `lines` are (milliseconds, message). The first step is left out: it warms up. What lies between the end of
    the last step and the job's end, and before its first, is overhead.
    """
    measured = [
        (at, values) for at, text in lines if "tokens_per_second" in (values := parse_metrics(text) or {})
    ]
    kept = measured[_WARM_UP_STEPS:]
    if len(kept) < MIN_STEPS:
        return None
    speeds = sorted(values["tokens_per_second"] for _, values in kept)
    if speeds[0] <= 0:
        return None
    stepping = (kept[-1][0] - measured[0][0]) / 1000 * len(measured) / len(kept)
    return Calibration(
        job_name=str(description["TrainingJobName"]),
        tokens_per_second=Range(_at(speeds, 0.1), _at(speeds, 0.5), _at(speeds, 0.9)),
        overhead_seconds=max(0.0, float(description.get("TrainingTimeInSeconds", 0)) - stepping),
        steps=len(kept),
    )


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
