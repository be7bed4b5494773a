"""Estimates and offers on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from ift_sagemaker.plan.estimate import Estimate
from ift_sagemaker.plan.figures import HEADINGS, TITLE, duration, lines, money
from ift_sagemaker.plan.offers import Offer
from ift_sagemaker.plan.quantities import GIB

SHOWN_OFFERS = 15
SHOWN_REFUSALS = 5


def estimate_table(found: Estimate) -> Table:
    """Low, likely and high of everything; below it what is to be feared and what was assumed."""
    said = [f"warning: {text}" for text in found.warnings] + [
        f"assumed: {text}" for text in found.assumptions
    ]
    table = _narrow(
        title=f"{TITLE} · confidence {found.confidence}",
        caption="\n".join(said),
        caption_justify="left",
    )
    for heading, side in zip(HEADINGS, ("left", "right", "right", "right", "left"), strict=True):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    for line in lines(found):
        table.add_row(*line.cells())
    return table


def offers_table(found: Sequence[Offer]) -> Table:
    """Types that do, the best first, then the reasons of a few that do not."""
    usable = [offer for offer in found if offer.usable]
    refused = [offer for offer in found if not offer.usable]
    table = _narrow(
        Column("instance type", no_wrap=True),
        "GiB",
        "fit",
        "billed time",
        "USD\nlikely",
        "low to high",
        "USD an\nhour",
        title=f"{len(usable)} of {len(found)} instance types · {TITLE.lower()}",
        caption="\n".join([*_more(len(usable) - SHOWN_OFFERS, "that do"), *_refusals(refused)]),
        caption_justify="left",
    )
    for offer in usable[:SHOWN_OFFERS]:
        table.add_row(*_cells(offer))
    return table


def _narrow(*headers: str | Column, **options: Any) -> Table:
    """A table whose lines fit into 80 columns: rules below the head alone."""
    return Table(*headers, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), **options)


def _cells(offer: Offer) -> tuple[str, ...]:
    found = offer.estimate
    seconds, usd, price = found.billable_seconds, found.usd, found.price
    return (
        offer.instance_type,
        f"{found.memory.total.likely / GIB:.1f} of {(found.memory_available or 0) / GIB:.1f}",
        found.fit,
        "unknown" if seconds is None else f"{duration(seconds.low)} to {duration(seconds.high)}",
        "unknown" if usd is None else money(usd.likely),
        "" if usd is None else f"{money(usd.low)} to {money(usd.high)}",
        "no price known" if price is None else f"{price.usd_per_hour:g}",
    )


def _refusals(refused: Sequence[Offer]) -> list[str]:
    shown = [f"{offer.instance_type}: {offer.refusal}" for offer in refused[:SHOWN_REFUSALS]]
    return [*shown, *_more(len(refused) - len(shown), "that do not")]


def _more(count: int, which: str) -> list[str]:
    return [f"and {count} more {which}; --json has all"] if count > 0 else []
