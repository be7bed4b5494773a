"""What a job has cost: its billed seconds times instances times price, beside what was estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ift_sagemaker.catalog.prices import Price, PriceBook
from ift_sagemaker.plan.quantities import Range, usd


@dataclass(frozen=True)
class JobCost:
    """Seconds of one instance and USD for all; None where the job has not ended or no price is known.

    `spot_saving` is 1 - billable / training seconds, AWS's formula: spot's billed seconds are fewer, at
    the price on demand. `billed` is False where it ran on this machine, so that `usd` is what AWS would have
    billed for as many seconds.
    """

    instance_type: str
    instance_count: int
    training_seconds: int | None
    billable_seconds: int | None
    price: Price | None
    spot: bool
    billed: bool
    estimated_usd: Range | None = None

    @property
    def usd(self) -> float | None:
        if self.billable_seconds is None or self.price is None:
            return None
        return usd(self.billable_seconds, self.instance_count, self.price.usd_per_hour)

    @property
    def spot_saving(self) -> float | None:
        if not self.spot or not self.training_seconds or self.billable_seconds is None:
            return None
        return 1 - self.billable_seconds / self.training_seconds

    def to_dict(self) -> dict[str, Any]:
        return {
            "instance_type": self.instance_type,
            "instance_count": self.instance_count,
            "training_seconds": self.training_seconds,
            "billable_seconds": self.billable_seconds,
            "price": None if self.price is None else asdict(self.price),
            "usd": self.usd,
            "estimated_usd": None if self.estimated_usd is None else self.estimated_usd.to_dict(),
            "spot_saving": self.spot_saving,
            "billed": self.billed,
        }

    def __str__(self) -> str:
        if self.billable_seconds is None:
            return "not known before the job has ended"
        if self.usd is None:
            return f"{self.billable_seconds} s billed on {self.instance_type}, no price known"
        parts = [f"{self.usd:.2f} USD for {self.billable_seconds} s x {self.instance_count}"]
        if self.estimated_usd is not None:
            low, likely, high = (self.estimated_usd.low, self.estimated_usd.likely, self.estimated_usd.high)
            parts.append(f"estimated {likely:.2f} ({low:.2f} to {high:.2f})")
        if self.spot_saving is not None:
            parts.append(f"spot saved {self.spot_saving:.0%}")
        if not self.billed:
            parts.append("ran on this machine: nothing was billed")
        return ", ".join(parts)


def job_cost(
    description: Mapping[str, Any], prices: PriceBook, *, billed: bool, estimated: Range | None = None
) -> JobCost:
    """The cost of a job as DescribeTrainingJob shows it; the region is that of its ARN."""
    resources = description["ResourceConfig"]
    parts = str(description.get("TrainingJobArn", "")).split(":")
    region = parts[3] if len(parts) > 3 else ""
    return JobCost(
        instance_type=resources["InstanceType"],
        instance_count=resources["InstanceCount"],
        training_seconds=description.get("TrainingTimeInSeconds"),
        billable_seconds=description.get("BillableTimeInSeconds"),
        price=prices.find(resources["InstanceType"], region),
        spot=bool(description.get("EnableManagedSpotTraining", False)),
        billed=billed,
        estimated_usd=estimated,
    )
