"""Instance types for a run: those that fit, known prices first, the cheapest first; why others do not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ift_sagemaker.catalog.accelerators import accelerators
from ift_sagemaker.catalog.instances import Instance, instances
from ift_sagemaker.contract.shapes import service_model
from ift_sagemaker.plan.estimate import FITS, TIGHT, Estimate, Subject, Target
from ift_sagemaker.plan.estimating import estimate
from ift_sagemaker.plan.quantities import GIB
from ift_sagemaker.plan.tokens import TokenCount
from ift_sagemaker.plan.workload import Training

_NOT_OFFERED = ("Trainium", "Trainium2", "Inferentia", "Inferentia2")


@dataclass(frozen=True)
class Offer:
    """One instance type with its estimate; `refusal` says why it does not do, empty where it does."""

    instance_type: str
    estimate: Estimate
    refusal: str = ""

    @property
    def usable(self) -> bool:
        return not self.refusal

    def to_dict(self) -> dict[str, Any]:
        found = self.estimate
        return {
            "instance_type": self.instance_type,
            "usable": self.usable,
            "refusal": self.refusal,
            "fit": found.fit,
            "memory_bytes": found.memory.total.to_dict(),
            "memory_available_bytes": found.memory_available,
            "billable_seconds": found.billable_seconds and found.billable_seconds.to_dict(),
            "usd": found.usd and found.usd.to_dict(),
            "usd_per_hour": found.price and found.price.usd_per_hour,
        }


def offers(
    subject: Subject,
    training: Training,
    tokens: TokenCount,
    target: Target,
    types: Iterable[str] | None = None,
) -> list[Offer]:
    """Every instance type that training jobs may have (or `types`) for this run, the best first.

    What certainly fits goes before what may fit, a known sum before an unknown one, bfloat16 accelerators
    before those without, then the likely sum, then the price of an hour. Types that do not do come last, with
    the reason. `target.compute` gives all but the type.
    """
    names = trainable_types() if types is None else types
    found = [_offer(subject, training, tokens, target, instances()[name]) for name in names]
    return sorted(found, key=_rank)


def trainable_types() -> tuple[str, ...]:
    """The types of CreateTrainingJob that the catalogue knows."""
    allowed = service_model("sagemaker").shape_for("TrainingInstanceType").enum
    return tuple(name for name in allowed if name in instances())


def _offer(
    subject: Subject, training: Training, tokens: TokenCount, target: Target, known: Instance
) -> Offer:
    compute = target.compute.model_copy(update={"instance_type": known.name})
    found = estimate(subject, training, tokens, replace(target, compute=compute, calibration=None))
    return Offer(known.name, found, _refusal(known, found))


def _refusal(known: Instance, found: Estimate) -> str:
    if known.accelerator in _NOT_OFFERED:
        return f"the program does not run on {known.accelerator}"
    if known.count > 1:
        return f"the program would use one of {known.count} accelerators, and all are billed"
    if found.fit not in (FITS, TIGHT):
        need, there = found.memory.total.likely / GIB, (found.memory_available or 0) / GIB
        return f"needs about {need:.1f} GiB of memory and has {there:.1f}"
    if found.disk_available is not None and found.disk.likely > found.disk_available:
        return (
            f"needs about {found.disk.likely / 1e9:.0f} GB of disk and has {found.disk_available / 1e9:.0f}"
        )
    if known.accelerator and known.accelerator not in accelerators():
        return f"nothing is known of {known.accelerator}'s speed"
    return ""


def _is_slow_at_bfloat16(instance_type: str) -> bool:
    speed = accelerators().get(instances()[instance_type].accelerator or "")
    return speed is not None and not speed.bfloat16


def _rank(offer: Offer) -> tuple[object, ...]:
    found = offer.estimate
    hourly = found.price.usd_per_hour if found.price else 0.0
    return (
        not offer.usable,
        found.fit != FITS,
        found.usd is None,
        _is_slow_at_bfloat16(offer.instance_type),
        found.price is None,
        found.usd.likely if found.usd else 0.0,
        hourly,
        offer.instance_type,
    )
