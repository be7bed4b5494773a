"""From noted verdicts to findings, in the order of rows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from ift_sagemaker.data.checking.tally import Ledger
from ift_sagemaker.data.likeness.grouping import Entries
from ift_sagemaker.data.likeness.meeting import Meeting
from ift_sagemaker.data.likeness.side import Rows
from ift_sagemaker.data.likeness.words import Places
from ift_sagemaker.data.rows.finding import MAX_FINDINGS, Finding, example

_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class _Kind:
    """One rule: in which verdicts it shows, which row is named, and what is said of it."""

    rule: str
    field: str
    where: Callable[[Entries], Places]
    others: Rows
    text: str
    alike: bool = False


def note_verdicts(meeting: Meeting, ledger: Ledger, rules: Collection[str]) -> None:
    """Adds a warning for every verdict of the rules: the first 1,000 of each in words, others as counts."""
    own, held = meeting.rows, meeting.held_rows
    kinds = [
        _Kind("duplicate", "first", _is_same, own, "is the same as {place}"),
        _Kind("conflict", "first", _is_conflict, own, "has the prompt of {place} and another answer"),
        _Kind("near-duplicate", "near", _has("near"), own, "is {share} the same as {place}", alike=True),
        _Kind("leakage", "leak", _has("leak"), held, "has the prompt of {place}, which is held out"),
        _Kind(
            "near-leakage",
            "near_leak",
            _has("near_leak"),
            held,
            "is {share} the same as {place}, which is held out",
            alike=True,
        ),
    ]
    for kind in kinds:
        if kind.rule in rules:
            _note(kind, meeting, ledger)


def _note(kind: _Kind, meeting: Meeting, ledger: Ledger) -> None:
    left = MAX_FINDINGS
    for start in range(0, len(meeting.verdicts), _AT_ONCE):
        found = start + kind.where(meeting.verdicts[start : start + _AT_ONCE])
        for row in found[:left].tolist():
            ledger.note(_finding(kind, meeting, row))
        rest = found[left:]
        left -= len(found) - len(rest)
        counts = np.bincount(meeting.rows.records["file"][rest], minlength=0).tolist()
        for file, count in enumerate(counts):
            if count:
                ledger.count("warning", kind.rule, meeting.rows.files[file], count)


def _finding(kind: _Kind, meeting: Meeting, row: int) -> Finding:
    other = int(meeting.verdicts[kind.field][row]) - 1
    path, line = meeting.rows.place(row)
    other_path, other_line = kind.others.place(other)
    place = (
        f"line {other_line}"
        if (other_path, kind.others) == (path, meeting.rows)
        else f"{other_path}:{other_line}"
    )
    share = f"{meeting.likeness(kind.others, other, row):.0%}" if kind.alike else ""
    message = kind.text.format(place=place, share=share)
    return Finding(path, line, "prompt", kind.rule, message, example(meeting.rows.excerpt(row)), "warning")


def _has(field: str) -> Callable[[Entries], Places]:
    return lambda verdicts: np.flatnonzero(verdicts[field])


def _is_same(verdicts: Entries) -> Places:
    return np.flatnonzero((verdicts["first"] != 0) & (verdicts["conflict"] == 0))


def _is_conflict(verdicts: Entries) -> Places:
    return np.flatnonzero((verdicts["first"] != 0) & (verdicts["conflict"] != 0))
