"""The estimate of a fine-tuning run. Pure: figures in, figures out."""

from __future__ import annotations

import math
from dataclasses import replace

from ift_sagemaker.catalog.accelerators import Accelerator, accelerators
from ift_sagemaker.catalog.instances import Instance, instances
from ift_sagemaker.plan.calibration import Calibration
from ift_sagemaker.plan.estimate import FITS, TIGHT, TOO_SMALL, UNKNOWN, Estimate, Subject, Target
from ift_sagemaker.plan.quantities import GIB, STOP_GRACE_IN_SECONDS, Range
from ift_sagemaker.plan.remarks import assumptions, confidence, warnings
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.plan.tokens import TokenCount
from ift_sagemaker.plan.workload import (
    QLORA,
    ModelShape,
    Training,
    disk_bytes,
    evaluation_flops,
    flops_per_token,
    memory,
)

PREPARATION_SECONDS = Range(60, 150, 360)
"""Image and program come up after TrainingStartTime, so they are billed. Assumption."""
BYTES_PER_SECOND = Range(50e6, 100e6, 200e6)
"""Between S3 and the instance. Assumption."""
PADDING = Range(1.0, 1.15, 1.5)
"""Tokens computed for a real one: rows of a pass are neighbours in length."""
LAYER_PASS_SECONDS = Range(0.5e-3, 2e-3, 5e-3)
"""Least time of a layer in one pass forward and backward, an accelerator's launches. Assumption."""
QLORA_SLOWNESS = Range(1.2, 1.66, 2.0)
"""Google's tuning notes: LoRA is about 66 % faster than QLoRA."""
_LONG_ROW_SHARE = 0.7
_USABLE_HOST_SHARE = 0.9


def estimate(subject: Subject, training: Training, tokens: TokenCount, target: Target) -> Estimate:
    """The estimate of a run. `tokens` are those of all rows once."""
    known = instances().get(target.compute.instance_type)
    speed = accelerators().get(known.accelerator or "") if known else None
    trained, held_out = _tokens_of_run(training, tokens)
    flops = trained * flops_per_token(subject.shape, training, _mean_length(training, tokens))
    if subject.held_out is not None:
        held_out = held_out + subject.held_out.range * training.epochs
    flops = flops + evaluation_flops(subject.shape, held_out)
    need = memory(
        subject.shape,
        training,
        _tokens_in_pass(training, tokens),
        accelerated=known is None or known.count > 0,
    )
    available = None if known is None else device_memory(known)
    disk = disk_bytes(subject.shape, training, subject.weights_bytes, subject.data_bytes)
    seconds = None if speed is None else _training_seconds(subject.shape, training, tokens, flops, speed)
    around = _around_seconds(subject, disk)
    rough = Estimate(
        subject=subject,
        training=training,
        tokens=tokens,
        target=target,
        training_tokens=trained,
        flops=flops,
        memory=need,
        memory_available=available,
        fit=_fit(need.total, available),
        disk=disk,
        disk_available=_disk(known, target.compute),
        training_seconds=seconds,
        billable_seconds=None if seconds is None else seconds + around,
        margin_seconds=STOP_GRACE_IN_SECONDS + math.ceil(around.high),
        price=target.prices.find(target.compute.instance_type, target.region),
        here_seconds=_here_seconds(trained, target.calibration),
        assumptions=(),
        warnings=(),
        confidence="",
    )
    return replace(
        rough, assumptions=assumptions(rough), warnings=warnings(rough), confidence=confidence(rough)
    )


def device_memory(known: Instance) -> float:
    """Bytes that one device offers; of a type without accelerators what the system leaves."""
    if known.count:
        return known.accelerator_memory_gib * GIB
    return known.memory_gib * GIB * _USABLE_HOST_SHARE


def _tokens_of_run(training: Training, tokens: TokenCount) -> tuple[Range, Range]:
    """Tokens that are trained, and tokens that are only evaluated, over all epochs."""
    most = float(tokens.rows * training.max_length)
    once = Range(*(min(value, most) for value in (tokens.low, tokens.total, tokens.high)))
    held_out = once * (training.validation_share * training.epochs)
    if training.steps:
        rows = min(training.rows_per_step, tokens.rows)
        return once * (training.steps * rows / max(1, tokens.rows)), held_out
    return once * ((1 - training.validation_share) * training.epochs), held_out


def _mean_length(training: Training, tokens: TokenCount) -> float:
    return min(tokens.mean, training.max_length)


def _tokens_in_pass(training: Training, tokens: TokenCount) -> Range:
    """Of a pass at the peak: rows of mean length at best, the longest rows together at worst."""
    rows = min(training.rows_per_pass, tokens.rows)
    longest = min(tokens.longest, training.max_length)
    shortest = min(tokens.low / max(1, tokens.rows), longest)
    likely = _LONG_ROW_SHARE * longest * (tokens.total / tokens.high if tokens.high else 1)
    return Range(shortest, min(longest, max(likely, shortest)), longest) * rows


def _passes(training: Training, tokens: TokenCount) -> Range:
    """Forward passes of the run; the program may cut a pass further."""
    rows = tokens.rows * (1 - training.validation_share)
    steps = training.steps or training.epochs * math.ceil(rows / training.rows_per_step)
    least = steps * training.passes_per_step
    return Range(least, least, least * min(2, training.rows_per_pass))


def _training_seconds(
    shape: ModelShape, training: Training, tokens: TokenCount, flops: Range, speed: Accelerator
) -> Range:
    """Arithmetic over what the accelerator does in practice, but no less than its launches take."""
    computing = (flops * PADDING).over(Range(*speed.share) * (speed.tflops * 1e12))
    launching = _passes(training, tokens) * LAYER_PASS_SECONDS * shape.layers
    seconds = computing.at_least(launching)
    return seconds * QLORA_SLOWNESS if training.method == QLORA else seconds


def _around_seconds(subject: Subject, disk: Range) -> Range:
    """Billed before the first and after the last step: coming up, weights and rows in, the model out."""
    coming = Range.exactly(subject.weights_bytes + subject.data_bytes)
    moved = Range(coming.low, max(coming.likely, disk.likely), max(coming.high, disk.high))
    return PREPARATION_SECONDS + moved.over(BYTES_PER_SECOND)


def _here_seconds(trained: Range, calibration: Calibration | None) -> Range | None:
    if calibration is None:
        return None
    overhead = Range(0.5, 1, 2) * calibration.overhead_seconds
    return trained.over(calibration.tokens_per_second) + overhead


def _fit(need: Range, available: float | None) -> str:
    if available is None:
        return UNKNOWN
    if need.high <= available:
        return FITS
    return TIGHT if need.likely <= available else TOO_SMALL


def _disk(known: Instance | None, compute: Compute) -> float | None:
    """Bytes: the local disks, whose size is the type's own, else the volume that is asked for."""
    if known is None:
        return None
    return known.local_nvme_gb * 1e9 if known.local_nvme else compute.volume_size_in_gb * 1e9
