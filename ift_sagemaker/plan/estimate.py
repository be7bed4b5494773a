"""What a fine-tuning run will need and cost, told before it is launched.

An estimate, never a quote. Formulas, sources and what is not known: docs/explanation/estimate.md.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ift_sagemaker.catalog.prices import Price, PriceBook
from ift_sagemaker.plan.calibration import Calibration
from ift_sagemaker.plan.quantities import Range, usd, usd_range
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.plan.tokens import TokenCount
from ift_sagemaker.plan.workload import Memory, ModelShape, Training

FITS, TIGHT, TOO_SMALL, UNKNOWN = "fits", "tight", "too small", "unknown"

START_UP_SECONDS = Range(60, 180, 600)
"""From the request to TrainingStartTime: waiting for an instance; not billed. Assumption."""
SPOT_SHARE = Range(0.30, 0.35, 1.0)
"""Of the on-demand price. No feed of spot prices exists; practitioners take 0.35, interruptions add to it."""


@dataclass(frozen=True)
class Subject:
    """What is trained: sizes in bytes as they travel."""

    model_id: str
    shape: ModelShape
    weights_bytes: int
    data_bytes: int
    held_out: TokenCount | None = None
    """Rows that are evaluated after each epoch and never trained."""


@dataclass(frozen=True)
class Target:
    """Where it is to run. `local`: on this machine, `calibration` being a speed measured here, if any."""

    compute: Compute
    region: str
    prices: PriceBook = field(default_factory=PriceBook.shipped, repr=False)
    local: bool = False
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Estimate:
    """Every range is low, likely, high. Bytes, seconds, USD; None where nothing is known.

    `billable_seconds` are those of one instance; `usd` is for all of them on demand. `margin_seconds` may be
    billed beyond MaxRuntime. `here_seconds` is the time on this machine, from `target.calibration`.
    """

    subject: Subject
    training: Training
    tokens: TokenCount
    target: Target
    training_tokens: Range
    flops: Range
    memory: Memory
    memory_available: float | None
    fit: str
    disk: Range
    disk_available: float | None
    training_seconds: Range | None
    billable_seconds: Range | None
    margin_seconds: int
    price: Price | None
    here_seconds: Range | None
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]
    confidence: str

    @property
    def usd(self) -> Range | None:
        """On demand, to the cent."""
        return self._usd(self.billable_seconds)

    @property
    def spot_usd(self) -> Range | None:
        """With managed spot training; a labelled guess, at most the on-demand sum."""
        return None if self.billable_seconds is None else self._usd(self.billable_seconds * SPOT_SHARE)

    @property
    def ceiling_usd(self) -> float | None:
        """What MaxRuntime lets the job cost at most."""
        if self.price is None:
            return None
        compute = self.target.compute
        seconds = compute.max_runtime_in_seconds + self.margin_seconds
        return usd(seconds, compute.instance_count, self.price.usd_per_hour)

    def _usd(self, seconds: Range | None) -> Range | None:
        if seconds is None or self.price is None:
            return None
        return usd_range(seconds, self.target.compute.instance_count, self.price.usd_per_hour)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        compute = self.target.compute
        return {
            "model_id": self.subject.model_id,
            "instance_type": compute.instance_type,
            "instance_count": compute.instance_count,
            "region": self.target.region,
            "spot": compute.spot,
            "tokens": self.tokens.to_dict(),
            "training_tokens": self.training_tokens.to_dict(),
            "flops": self.flops.to_dict(),
            "memory_bytes": {**asdict(self.memory), "total": self.memory.total.to_dict()},
            "memory_available_bytes": self.memory_available,
            "fit": self.fit,
            "disk_bytes": self.disk.to_dict(),
            "disk_available_bytes": self.disk_available,
            "start_up_seconds": START_UP_SECONDS.to_dict(),
            "training_seconds": _plain(self.training_seconds),
            "billable_seconds": _plain(self.billable_seconds),
            "margin_seconds": self.margin_seconds,
            "price": None if self.price is None else asdict(self.price),
            "usd": _plain(self.usd),
            "spot_usd": _plain(self.spot_usd),
            "ceiling_usd": self.ceiling_usd,
            "here_seconds": _plain(self.here_seconds),
            "calibration": None if self.target.calibration is None else self.target.calibration.to_dict(),
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
            "confidence": self.confidence,
        }

    def __str__(self) -> str:
        from ift_sagemaker.plan.figures import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from ift_sagemaker.plan.figures import as_html

        return as_html(self)


def _plain(value: Range | None) -> dict[str, float] | None:
    return None if value is None else value.to_dict()
