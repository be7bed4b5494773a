"""Figures that are not known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Self

STOP_GRACE_IN_SECONDS = 120
"""Time SageMaker gives a job between SIGTERM and SIGKILL."""

GIB = 2**30


@dataclass(frozen=True)
class Range:
    """A quantity with its error bar, 0 <= low <= likely <= high, finite."""

    low: float
    likely: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.likely <= self.high < math.inf:
            raise ValueError(f"not 0 <= low <= likely <= high: {self.low}, {self.likely}, {self.high}")

    @classmethod
    def exactly(cls, value: float) -> Self:
        return cls(value, value, value)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def __mul__(self, factor: Range | float) -> Range:
        by = factor if isinstance(factor, Range) else Range.exactly(factor)
        return Range(self.low * by.low, self.likely * by.likely, self.high * by.high)

    def over(self, divisor: Range) -> Range:
        """The quotient: least over most, most over least. `divisor.low` is over 0."""
        return Range(self.low / divisor.high, self.likely / divisor.likely, self.high / divisor.low)

    def at_least(self, floor: Range) -> Range:
        return Range(max(self.low, floor.low), max(self.likely, floor.likely), max(self.high, floor.high))

    def to_dict(self) -> dict[str, float]:
        return {"low": self.low, "likely": self.likely, "high": self.high}


NOTHING = Range(0, 0, 0)


def usd(seconds: float, count: int, usd_per_hour: float) -> float:
    """What `count` instances cost for so many seconds, to the cent, half cents up."""
    exact = Decimal(str(seconds)) * count * Decimal(str(usd_per_hour)) / 3600
    return float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


def usd_range(seconds: Range, count: int, usd_per_hour: float) -> Range:
    """`usd` of each of the three."""
    return Range(*(usd(value, count, usd_per_hour) for value in (seconds.low, seconds.likely, seconds.high)))
