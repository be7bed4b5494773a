"""The instance types that a run may have, in order, and which of them comes next. Pure.

Only types that were named are ever tried. Naming one is consent to its price; `max_usd_per_hour` limits it.
Which type a run got is not part of its name: the same weights come of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.contract.limits import is_capacity
from ift_sagemaker.errors import CapacityError, ConfigError
from ift_sagemaker.plan.spec import Compute


def allowed(compute: Compute, prices: PriceBook, region: str) -> dict[str, Compute]:
    """The compute on each type that may be had, by type, in the order in which they are tried.

    Raises ConfigError where one is dearer than `max_usd_per_hour`, or nobody knows its price.
    """
    types = dict.fromkeys((compute.instance_type, *compute.instance_types))
    for name in types:
        _refuse_dearer(name, compute.max_usd_per_hour, prices, region)
    return {name: compute.model_copy(update={"instance_type": name}) for name in types}


def _refuse_dearer(name: str, limit: float | None, prices: PriceBook, region: str) -> None:
    if limit is None:
        return
    price = prices.find(name, region)
    if price is not None and price.usd_per_hour <= limit:
        return
    told = "has no known price" if price is None else f"costs {price.usd_per_hour:g} USD an hour"
    raise ConfigError(
        f"{name} {told} in {region}, and max_usd_per_hour is {limit:g}: leave it out, allow more, or state a "
        "price (IFT_PRICES, docs/how-to/configure.md)",
        field="max_usd_per_hour",
        value=limit,
        allowed=f"types up to {limit:g} USD an hour",
    )


def remaining(types: Sequence[str], earlier: Iterable[Mapping[str, Any]], *, over: bool) -> list[str]:
    """Types still to try, after the attempts that ended (oldest first) of which AWS could not start the last.

    All of them again where the last one ended of something else, or where `over` says to begin anew. Raises
    CapacityError where none is left.
    """
    tried: list[str] = []
    for job in earlier:
        tried = [*tried, _type_of(job)] if lacked_capacity(job) else []
    left = [name for name in types if name not in tried]
    if left:
        return left
    if over:
        return list(types)
    raise none_left(tried)


def lacked_capacity(job: Mapping[str, Any]) -> bool:
    """Whether a described job failed because AWS had no instance for it."""
    return job.get("TrainingJobStatus") == "Failed" and is_capacity(str(job.get("FailureReason", "")))


def none_left(tried: Sequence[str]) -> CapacityError:
    return CapacityError(
        f"AWS had no instance to give of {', '.join(tried)}. Try again later (retry=True, --retry), or allow "
        "further types (instance_types, --alternative)",
        operation="CreateTrainingJob",
        instance_type=tried[-1] if tried else "",
        tried=tried,
    )


def _type_of(job: Mapping[str, Any]) -> str:
    return str(job.get("ResourceConfig", {}).get("InstanceType", ""))
