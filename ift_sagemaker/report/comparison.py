"""Families side by side as a document: Markdown, or one self-contained HTML page. Every cell has a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MARKS = "* general knowledge, not re-checked; † corrects a claim of the comparison of 2023"
_STYLE = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}"
    "th,td{border:1px solid #bbb;padding:.4rem .6rem;text-align:left;vertical-align:top;max-width:22rem}"
    "thead th{background:#eee;position:sticky;top:0}small{color:#666;display:block}"
    ".known{background:#fffbe6}.corrected{background:#e8f4ea}"
)


def marked(frame: pd.DataFrame, feature: str, family: str) -> str:
    """The cell's text with its marks."""
    cell = _cell(frame, feature, family)
    general = "" if cell["confidence"] == "read" else " *"
    corrected = " †" if cell.get("corrects") else ""
    return str(frame.loc[feature, family]) + general + corrected


def comparison_markdown(frame: pd.DataFrame) -> str:
    """A table, then what was corrected, then the source and date of every cell."""
    names = frame.attrs["names"]
    columns = [str(family) for family in frame.columns]
    lines = [
        f"# Foundation models, as of {frame.attrs['as_of']}",
        "",
        f"{MARKS.replace('*', chr(92) + '*')}.",
        "",
        "| feature | " + " | ".join(_plain(names[family]) for family in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for feature in map(str, frame.index):
        cells = (_plain(marked(frame, feature, family)) for family in columns)
        lines.append(f"| {_plain(feature)} | " + " | ".join(cells) + " |")
    lines += ["", "## Corrected since 2023", ""]
    lines += [
        f"- {_plain(names[family])}, {feature}: was “{_plain(cell['corrects'])}”"
        for family, feature, cell in _cells(frame)
        if cell.get("corrects")
    ]
    lines += ["", "## Sources", ""]
    lines += [
        f"- {_plain(names[family])}, {feature}: {_plain(cell['source'])}, {cell['date']}"
        for family, feature, cell in _cells(frame)
    ]
    return "\n".join([*lines, *_notes(frame)]) + "\n"


def comparison_html(frame: pd.DataFrame) -> str:
    """One page, nothing loaded from elsewhere: under every value its source, date and what it corrects."""
    columns = [str(family) for family in frame.columns]
    names = frame.attrs["names"]
    head = "".join(f"<th>{escape(names[family])}</th>" for family in columns)
    rows = (
        (feature, "".join(_html_cell(frame, feature, family) for family in columns))
        for feature in map(str, frame.index)
    )
    body = "".join(f"<tr><th>{escape(feature)}</th>{cells}</tr>" for feature, cells in rows)
    title = f"Foundation models, as of {escape(frame.attrs['as_of'])}"
    notes = "".join(f"<p>{escape(note)}</p>" for note in frame.attrs["notes"].values())
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{escape(MARKS)}.</p>{notes}"
        f"<table><thead><tr><th>feature</th>{head}</tr></thead><tbody>{body}</tbody></table></body></html>\n"
    )


def _html_cell(frame: pd.DataFrame, feature: str, family: str) -> str:
    cell = _cell(frame, feature, family)
    corrects = cell.get("corrects")
    kind = "corrected" if corrects else "" if cell["confidence"] == "read" else "known"
    was = f"<small>2023: {escape(corrects)}</small>" if corrects else ""
    origin = f"<small>{escape(cell['source'])}, {escape(cell['date'])}</small>"
    opening = f'<td class="{kind}">' if kind else "<td>"
    return f"{opening}{escape(marked(frame, feature, family))}{was}{origin}</td>"


def _cell(frame: pd.DataFrame, feature: str, family: str) -> Mapping[str, str]:
    cell: Mapping[str, str] = frame.attrs["sources"][family][feature]
    return cell


def _cells(frame: pd.DataFrame) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    for family in map(str, frame.columns):
        for feature in map(str, frame.index):
            yield family, feature, _cell(frame, feature, family)


def _notes(frame: pd.DataFrame) -> list[str]:
    notes = list(frame.attrs["notes"].values())
    return ["", *(f"Note: {_plain(note)}" for note in notes)] if notes else []


def _plain(text: str) -> str:
    """Text that no Markdown reader takes for markup."""
    for character in ("\\", "|", "*", "_", "<", "["):
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ")
