"""A limit in USD: refused before the launch where it is too small, else a MaxRuntime that keeps it.

Billed are all seconds from TrainingStartTime to TrainingEndTime of every instance. MaxRuntime ends the
program only: SIGTERM adds up to 120 seconds, coming up and the upload are billed too, so their margin is
taken off. Spot is limited as if it were billed on demand, since its price is not known.
"""

from __future__ import annotations

import math

from ift_sagemaker.catalog.prices import Price
from ift_sagemaker.errors import CostLimitError
from ift_sagemaker.plan.estimate import Estimate
from ift_sagemaker.plan.quantities import STOP_GRACE_IN_SECONDS
from ift_sagemaker.plan.spec import MIN_RUNTIME_IN_SECONDS, Compute


def longest_run(max_cost: float, usd_per_hour: float, count: int, margin_seconds: int) -> int:
    """Seconds that `count` instances may train, so that they and the margin cost no more; below 0: none."""
    return math.floor(max_cost * 3600 / (usd_per_hour * count)) - margin_seconds


def limited(compute: Compute, found: Estimate) -> Compute:
    """The compute with a MaxRuntime that keeps `max_cost`; unchanged without a limit.

    Changes nothing either where the limit cannot be kept: `refuse_over_budget` says so before the launch.
    """
    if compute.max_cost is None or found.price is None:
        return compute
    seconds = longest_run(
        compute.max_cost, found.price.usd_per_hour, compute.instance_count, found.margin_seconds
    )
    if not MIN_RUNTIME_IN_SECONDS <= seconds < compute.max_runtime_in_seconds:
        return compute
    return compute.model_copy(update={"max_runtime_in_seconds": seconds})


def refuse_over_budget(found: Estimate) -> None:
    """Raises CostLimitError where the run is likely to cost more than `max_cost`, or nobody can tell."""
    compute = found.target.compute
    limit = compute.max_cost
    if limit is None:
        return
    kind = f"{compute.instance_count} x {compute.instance_type} in {found.target.region}"
    if found.price is None:
        raise _refused(found, f"{_no_price(limit, kind)} or take a type with a price (`ift plan --offers`)")
    if found.usd is not None and found.usd.likely > limit:
        raise _refused(
            found,
            f"{kind} is likely to cost {found.usd.likely:.2f} USD ({found.usd.low:.2f} to "
            f"{found.usd.high:.2f}), more than max_cost of {limit:.2f}; train less, take another type "
            "(`ift plan --offers`), or allow more",
        )
    least = _least(compute, found.price, found.margin_seconds)
    if longest_run(limit, found.price.usd_per_hour, compute.instance_count, found.margin_seconds) < (
        MIN_RUNTIME_IN_SECONDS
    ):
        raise _refused(
            found,
            f"max_cost of {limit:.2f} USD leaves {kind} no minute to train: coming up, a stop and the upload "
            f"may take {found.margin_seconds} s; {least:.2f} USD is the least limit",
        )


def capped(compute: Compute, price: Price | None, region: str) -> Compute:
    """The compute of a run of which there is no estimate, with a MaxRuntime that keeps `max_cost`.

    The seconds of a stop are taken off; what coming up and the upload take is not known here. Raises
    CostLimitError where no price is known, or the limit leaves no minute to train.
    """
    limit = compute.max_cost
    if limit is None:
        return compute
    kind = f"{compute.instance_count} x {compute.instance_type} in {region}"
    if price is None:
        raise CostLimitError(_no_price(limit, kind), max_cost=limit, estimate={})
    seconds = longest_run(limit, price.usd_per_hour, compute.instance_count, STOP_GRACE_IN_SECONDS)
    if seconds < MIN_RUNTIME_IN_SECONDS:
        least = _least(compute, price, STOP_GRACE_IN_SECONDS)
        raise CostLimitError(
            f"max_cost of {limit:.2f} USD leaves {kind} no minute to train; {least:.2f} USD is the "
            "least limit",
            max_cost=limit,
            estimate={},
        )
    if seconds >= compute.max_runtime_in_seconds:
        return compute
    return compute.model_copy(update={"max_runtime_in_seconds": seconds})


def _least(compute: Compute, price: Price, margin_seconds: int) -> float:
    """The least limit that leaves a minute to train, USD, up to the next cent."""
    seconds = MIN_RUNTIME_IN_SECONDS + margin_seconds
    cents = price.usd_per_hour * compute.instance_count * seconds / 36
    return math.ceil(cents) / 100


def _no_price(limit: float, kind: str) -> str:
    return (
        f"max_cost of {limit:.2f} USD cannot be kept: no price known for {kind}. State one in a price file "
        "(IFT_PRICES, docs/how-to/configure.md)"
    )


def _refused(found: Estimate, message: str) -> CostLimitError:
    limit = found.target.compute.max_cost
    return CostLimitError(message, max_cost=float(limit or 0), estimate=found.to_dict())
