"""How a row is seen when rows are compared: its prompts and answers, whatever format it is written in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

from ift_sagemaker.data.converting.conversion import shape_of
from ift_sagemaker.data.rows.fields import FieldMap, value_at
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.formats import DETECTION_ROWS, Format
from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.data.rows.rules import plainly_good, rules_of
from ift_sagemaker.data.shaping.work import Reading, Work
from ift_sagemaker.wire.template import ALPACA

LABEL = "label"
"""As a field to stratify by: the rows' own `label`, or else the answer."""


class Seen(NamedTuple):
    """A row and what it asks and answers: one pair, more where a row holds several (self-instruct)."""

    row: Row
    line: bytes
    pairs: list[tuple[str, str]]
    stratum: str | None


class Sight:
    """Rows of a source, each with its prompts and answers; a row that cannot be read so is a finding."""

    def __init__(self, reading: Reading, work: Work, *, stratify: str | None = None) -> None:
        self._reading = reading
        self._work = work
        self._stratify = stratify
        self._unseen = dict(work.fields or {})

    def __iter__(self) -> Iterator[Seen]:
        numbered = self._reading.each()
        mapping = FieldMap(self._work.fields)
        first = list(islice(numbered, DETECTION_ROWS))
        findings = self._reading.findings
        shape = shape_of(self._work.format, [mapping.apply(row) for _, row, _ in first], findings)
        findings.field_of = shape.field
        pairs_of = _PairsOf(shape.canonical)
        for number, row, line in chain(first, numbered):
            canonical = shape.read(mapping.apply(row))
            parts = canonical if isinstance(canonical, list) else [canonical]
            pairs = pairs_of(parts, number, findings)
            stratum = self._stratum(row, parts, pairs, number) if self._stratify else None
            if self._unseen:
                self._look_for_fields(row)
            if pairs:
                yield Seen(row, line, pairs, stratum)
        for name, source in self._unseen.items():
            findings.add(0, name, "field", f"no row has the field {source}, which is to be {name}")
        self._reading.finish()

    def _look_for_fields(self, row: Row) -> None:
        self._unseen = {
            name: source for name, source in self._unseen.items() if value_at(row, source) is None
        }

    def _stratum(self, row: Row, parts: list[Row], pairs: list[tuple[str, str]], number: int) -> str | None:
        name = self._stratify or ""
        value = value_at(row, name)
        if value is None and parts:
            value = value_at(parts[0], name)
        if value is None and name == LABEL and pairs:
            value = pairs[0][1]
        if value is None:
            message = f"is missing, rows are stratified by it; the row has {', '.join(row) or 'no fields'}"
            self._reading.findings.add(number, name, "missing", message)
            return None
        return plain_text(value)


class _PairsOf:
    """(prompt, answer) of each canonical row; findings where the rules have any."""

    def __init__(self, canonical: Format) -> None:
        self._rules = rules_of(canonical, tools=True)
        self._is_good = plainly_good(self._rules)
        self._pair = _PAIRS[canonical]

    def __call__(self, parts: Iterable[Row], number: int, findings: Findings) -> list[tuple[str, str]]:
        pairs = []
        for part in parts:
            good = part if self._is_good(part) else self._rules.normalise(part, number, findings)
            if good is not None:
                pairs.append(self._pair(good))
        return pairs


def plain_text(value: Any) -> str:
    """A JSON value as a text: a text as it is, anything else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _of_instruction(row: Row) -> tuple[str, str]:
    return ALPACA.render_prompt(row), row["output"]


def _of_chat(row: Row) -> tuple[str, str]:
    turns = row["messages"]
    return asked_in(turns[:-1]), _said(turns[-1])


def asked_in(turns: list[Mapping[str, Any]]) -> str:
    """One user's turn as it is, several as `role: content` lines."""
    if len(turns) == 1 and turns[0]["role"] == "user":
        return str(turns[0]["content"])
    return "\n".join(f"{turn['role']}: {_said(turn)}" for turn in turns)


def _said(turn: Mapping[str, Any]) -> str:
    calls = turn.get("tool_calls")
    content = str(turn["content"])
    return content + json.dumps(calls, ensure_ascii=False, sort_keys=True) if calls else content


def _of_text(row: Row) -> tuple[str, str]:
    return row["text"], ""


def _of_label(row: Row) -> tuple[str, str]:
    return f"{row['text']}\n{row.get('second_text', '')}".rstrip("\n"), row["label"]


def _of_preference(row: Row) -> tuple[str, str]:
    return asked_in(row["messages"]), f"{row['chosen']}\n{row['rejected']}"


_PAIRS = {
    "alpaca": _of_instruction,
    "chat": _of_chat,
    "text": _of_text,
    "label": _of_label,
    "preference": _of_preference,
}
