"""An estimate as lines of a table: the same for terminal, notebook and plain text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from ift_sagemaker.plan.estimate import START_UP_SECONDS, Estimate
from ift_sagemaker.plan.quantities import GIB, Range
from ift_sagemaker.plan.remarks import NOT_CALIBRATED

HEADINGS = ("", "low", "likely", "high", "")
TITLE = "Estimate, not a quote"


@dataclass(frozen=True)
class Line:
    """One quantity in words."""

    name: str
    low: str
    likely: str
    high: str
    note: str = ""

    def cells(self) -> tuple[str, str, str, str, str]:
        return self.name, self.low, self.likely, self.high, self.note


def lines(found: Estimate) -> list[Line]:
    """The table's lines, what people decide by last."""
    compute = found.target.compute
    on = f"{compute.instance_count} x {compute.instance_type}"
    rows = [
        _line("tokens", found.tokens.range, count, f"{found.tokens.rows:,} rows, once"),
        _line("trained tokens", found.training_tokens, count, "all epochs"),
        _line("arithmetic", found.flops, _flop),
        _line("memory of a device", found.memory.total, _gib, _of(found.memory_available, _gib, found.fit)),
        _line("disk", found.disk, _gb, _of(found.disk_available, _gb)),
        _line("waiting, not billed", START_UP_SECONDS, duration),
        _line("training", found.training_seconds, duration, on),
        _line("billed time", found.billable_seconds, duration, "an instance"),
        _line("USD on demand", found.usd, money, _price(found)),
    ]
    if compute.spot:
        rows.append(_line("USD on spot", found.spot_usd, money, "no price feed: a guess"))
    if found.ceiling_usd is not None:
        rows.append(Line("USD at most", "", "", money(found.ceiling_usd), "until MaxRuntime ends it"))
    if found.target.local:
        note = "not billed" if found.here_seconds else NOT_CALIBRATED
        rows.append(_line("on this machine", found.here_seconds, duration, note))
    return rows


def as_text(found: Estimate) -> str:
    """The lines below each other, for where there is no table."""
    parts = [f"{TITLE} (confidence {found.confidence})"]
    parts += [
        f"  {line.name:20} {line.low:>12} {line.likely:>12} {line.high:>12}  {line.note}".rstrip()
        for line in lines(found)
    ]
    parts += [f"  warning: {text}" for text in found.warnings]
    parts += [f"  assumed: {text}" for text in found.assumptions]
    return "\n".join(parts)


def as_html(found: Estimate) -> str:
    """A table for notebooks."""
    head = "".join(f"<th>{escape(text)}</th>" for text in HEADINGS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line.cells()) + "</tr>"
        for line in lines(found)
    )
    said = [*(f"warning: {text}" for text in found.warnings), *found.assumptions]
    items = "".join(f"<li>{escape(text)}</li>" for text in said)
    caption = f"<caption>{TITLE} (confidence {escape(found.confidence)})</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{items}</ul>"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def money(value: float) -> str:
    return f"{value:,.2f}"


def count(value: float) -> str:
    """Three digits that matter: `12.3 k`, `4.56 M`."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 1000 * size else f"{value / size:,.0f} {unit}"
    return f"{value:.0f}"


def _flop(value: float) -> str:
    return f"{value / 1e15:.3g} PFLOP"


def _gib(value: float) -> str:
    return f"{value / GIB:.1f} GiB"


def _gb(value: float) -> str:
    return f"{value / 1e9:.1f} GB"


def _of(available: float | None, say: Callable[[float], str], more: str = "") -> str:
    there = "" if available is None else f"of {say(available)}"
    return ", ".join(part for part in (there, more) if part)


def _price(found: Estimate) -> str:
    return "no price known" if found.price is None else f"{found.price.usd_per_hour:g} an hour"


def _line(name: str, value: Range | None, say: Callable[[float], str], note: str = "") -> Line:
    if value is None:
        return Line(name, "", "unknown", "", note)
    return Line(name, say(value.low), say(value.likely), say(value.high), note)
