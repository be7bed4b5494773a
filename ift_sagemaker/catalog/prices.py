"""What an hour of an instance costs, where a price is known: with its region, date, source and confidence.

There is no guess: a type or region without a price has none, and no price means no sum. A price file of the
user's adds to these or goes before them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from ift_sagemaker.catalog.facts import load
from ift_sagemaker.catalog.instances import instance
from ift_sagemaker.errors import ConfigError

MAX_USD_PER_HOUR = 10_000
_REGION = re.compile(r"[a-z]{2,3}(?:-[a-z]+)+-\d")
_Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


@dataclass(frozen=True)
class Price:
    """USD for one instance for one hour, on demand, as of `as_of` (a day, a month or a year).

    `confidence` is high, medium, or user's. `region` is where it was read; where it stands for another region
    that AWS prices alike, that is `stands_for`.
    """

    instance_type: str
    region: str
    usd_per_hour: float
    as_of: str
    source: str
    confidence: str
    stands_for: str = ""

    @property
    def origin(self) -> str:
        """Region, date and confidence in words."""
        twin = f" (taken for {self.stands_for})" if self.stands_for else ""
        return f"{self.region}{twin}, as of {self.as_of}, confidence {self.confidence}; {self.source}"


@dataclass(frozen=True)
class PriceBook:
    """Prices by instance type and region; `equal` are regions whose prices agree wherever both are known."""

    prices: dict[tuple[str, str], Price]
    equal: frozenset[str] = frozenset()

    @classmethod
    def shipped(cls) -> PriceBook:
        """The prices that come with the library."""
        return _shipped()

    def find(self, instance_type: str, region: str) -> Price | None:
        """The price in that region, else that of a region with equal prices, else None."""
        if exact := self.prices.get((instance_type, region)):
            return exact
        if region not in self.equal:
            return None
        twins = (self.prices.get((instance_type, other)) for other in sorted(self.equal))
        twin = next((price for price in twins if price is not None and price.confidence != "user"), None)
        return None if twin is None else replace(twin, stands_for=region, confidence="medium")

    def elsewhere(self, instance_type: str) -> tuple[Price, ...]:
        """The type's prices in every region, to be told where the wanted region has none."""
        return tuple(price for (name, _), price in sorted(self.prices.items()) if name == instance_type)

    def with_file(self, path: Path) -> Self:
        """These prices and, before them, those of a YAML or JSON file (docs/how-to/configure.md).

        Raises ConfigError with everything that is wrong in the file.
        """
        return type(self)({**self.prices, **_read_file(path)}, self.equal)


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_type: str
    region: str
    usd_per_hour: float = Field(gt=0, le=MAX_USD_PER_HOUR)
    as_of: date | None = None
    source: _Text | None = None

    @field_validator("instance_type")
    @classmethod
    def _known(cls, value: str) -> str:
        return instance(value).name

    @field_validator("region")
    @classmethod
    def _region(cls, value: str) -> str:
        if not _REGION.fullmatch(value):
            raise ValueError("is no region such as eu-central-1")
        return value


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    source: _Text
    prices: tuple[_Row, ...] = Field(min_length=1, max_length=10_000)


@cache
def _shipped() -> PriceBook:
    facts = load("prices.json")
    prices = {(entry["instance_type"], entry["region"]): Price(**entry) for entry in facts["prices"]}
    return PriceBook(prices, frozenset(facts["equal_regions"]))


def _read_file(path: Path) -> dict[tuple[str, str], Price]:
    found = _parse(path)
    prices: dict[tuple[str, str], Price] = {}
    for row in found.prices:
        key = (row.instance_type, row.region)
        if key in prices:
            raise ConfigError(f"price file {path}: {' in '.join(key)} stands there twice", field="prices")
        day = (row.as_of or found.as_of).isoformat()
        prices[key] = Price(*key, row.usd_per_hour, day, row.source or found.source, "user")
    return prices


def _parse(path: Path) -> _File:
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text("utf-8"))
        return _File.model_validate(content)
    except OSError as error:
        raise ConfigError(
            f"price file {path} cannot be read: {error.strerror}; IFT_PRICES or `prices:` in the "
            "configuration file names it",
            field="prices",
            value=str(path),
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"price file {path} is not YAML: {error}", field="prices") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(f"price file {path}: {problems}", field="prices", value=str(path)) from error
