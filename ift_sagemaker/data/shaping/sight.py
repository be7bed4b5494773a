"""How a row is seen when rows are compared: its prompts and answers, whatever format it is written in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from ift_sagemaker.data.converting.conversion import shape_for
from ift_sagemaker.data.reading.containers import template_beside
from ift_sagemaker.data.rows.fields import FieldMap, value_at
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.formats import DETECTION_ROWS, Format
from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.data.rows.pairs import Pair, has_words, pairing
from ift_sagemaker.data.rows.rules import plainly_good, rules_of
from ift_sagemaker.data.shaping.work import Reading, Work
from ift_sagemaker.wire.template import PromptTemplate

LABEL = "label"
"""As a field to stratify by: the rows' own `label`, or else the answer."""


class Seen(NamedTuple):
    """A row and what it asks and answers: one pair, more where a row holds several (self-instruct)."""

    row: Row
    line: bytes
    pairs: list[Pair]
    stratum: str | None
    has_words: bool
    """False where prompts are no texts, so that nothing is nearly the same."""


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
        template = self._work.template or template_beside(self._reading.source)
        rows = [mapping.apply(row) for _, row, _ in first]
        shape = shape_for(self._work.format, template, rows, findings)
        findings.field_of = shape.field
        pairs_of, are_texts = _PairsOf(shape.canonical, template), has_words(shape.canonical)
        for number, row, line in chain(first, numbered):
            canonical = shape.read(mapping.apply(row))
            parts = canonical if isinstance(canonical, list) else [canonical]
            pairs = pairs_of(parts, number, findings)
            stratum = self._stratum(row, parts, pairs, number) if self._stratify else None
            if self._unseen:
                self._look_for_fields(row)
            if pairs:
                yield Seen(row, line, pairs, stratum, are_texts)
        for name, source in self._unseen.items():
            findings.add(0, name, "field", f"no row has the field {source}, which is to be {name}")
        self._reading.finish()

    def _look_for_fields(self, row: Row) -> None:
        self._unseen = {
            name: source for name, source in self._unseen.items() if value_at(row, source) is None
        }

    def _stratum(self, row: Row, parts: list[Row], pairs: list[Pair], number: int) -> str | None:
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

    def __init__(self, canonical: Format, template: PromptTemplate | None) -> None:
        self._rules = rules_of(canonical, template, tools=True)
        self._is_good = plainly_good(self._rules)
        self._pair = pairing(canonical, template)

    def __call__(self, parts: Iterable[Row], number: int, findings: Findings) -> list[Pair]:
        pairs = []
        for part in parts:
            good = part if self._is_good(part) else self._rules.normalise(part, number, findings)
            if good is not None:
                pairs.append(self._pair(good))
        return pairs


def plain_text(value: Any) -> str:
    """A JSON value as a text: a text as it is, anything else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
