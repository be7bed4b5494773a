"""SageMaker's instance types: hardware, local disks, and a price where one is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from ift_sagemaker.catalog.facts import load
from ift_sagemaker.errors import ConfigError


@dataclass(frozen=True)
class Instance:
    """One instance type.

    Memory in GiB, `accelerator_memory_gib` of each of the `count` accelerators, `local_nvme_gb` of all local
    disks. `usd_per_hour` is SageMaker's on-demand price for training in `price_region`, None where no
    price is known; `as_of` is the date of the price, else of the hardware facts. An estimate, not a quote.
    """

    name: str
    vcpu: int
    memory_gib: float
    accelerator: str | None
    count: int
    accelerator_memory_gib: float
    local_nvme_gb: int
    as_of: str
    usd_per_hour: float | None = None
    price_region: str = ""
    price_confidence: str = ""
    price_source: str = ""

    @property
    def local_nvme(self) -> bool:
        """Whether volume size and volume key are the instance's own affair."""
        return self.local_nvme_gb > 0


@cache
def instances() -> dict[str, Instance]:
    """Every known type by name."""
    facts = load("instances.json")
    priced = {entry["instance_type"]: entry for entry in load("prices.json")["prices"]}
    entries = [
        Instance(**{"as_of": facts["date"], **entry, **_price_fields(priced.get(entry["name"]))})
        for entry in facts["instances"]
    ]
    return {entry.name: entry for entry in entries}


def _price_fields(price: Mapping[str, Any] | None) -> dict[str, Any]:
    """A row of `prices.json` under the names it has on an instance."""
    if price is None:
        return {}
    return {
        "usd_per_hour": price["usd_per_hour"],
        "as_of": price["as_of"],
        **{f"price_{name}": price[name] for name in ("region", "confidence", "source")},
    }


def instance(name: str) -> Instance:
    """The type of that name. Raises ConfigError with the closest names."""
    known = instances()
    if name not in known:
        closest = get_close_matches(name, known, n=3, cutoff=0.6)
        hint = f"did you mean {', '.join(closest)}?" if closest else "names look like ml.g5.2xlarge"
        raise ConfigError(
            f"no instance type {name!r} in the catalogue; {hint}",
            field="instance_type",
            value=name,
            allowed=", ".join(closest),
        )
    return known[name]
