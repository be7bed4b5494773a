"""The rules of instruction rows: Alpaca's fields, or those that a template names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.wire.template import PromptTemplate

Row = dict[str, Any]

OPTIONAL_FIELDS = frozenset({"input", "context"})
"""Fields of a prompt that a row may leave out, which means they are empty."""
_TEXT_COLUMNS = ("instruction", "input", "output")


class InstructionFormat:
    """Alpaca rows, or any rows whose fields a template names."""

    def __init__(self, template: PromptTemplate) -> None:
        self._template = template
        self._optional = tuple(field for field in template.prompt_fields if field in OPTIONAL_FIELDS)
        self._required = tuple(field for field in template.fields if field not in self._optional)
        self._never_empty = {"instruction", *(set(template.fields) - set(template.prompt_fields))}
        self._travelling = ("instruction", *template.fields)
        needed = tuple(dict.fromkeys((*self._required, "instruction")))
        # a prompt made of an empty input alone has to be looked at
        self._plainly_needed = needed if {*template.prompt_fields} - OPTIONAL_FIELDS else ()

    def normalise(self, row: Mapping[str, Any], line: int, findings: Findings) -> Row | None:
        """The canonical row; None where findings were added."""
        canonical = dict(row)
        for field in self._optional:
            if canonical.get(field) is None:
                canonical[field] = ""
        good = [self._check(canonical, field, line, findings) for field in self._checked(canonical)]
        if not all(good):
            return None
        rendered = (self._template.render_prompt(canonical), self._template.render_completion(canonical))
        if not all(text.strip() for text in rendered):
            findings.add(line, "", "empty", "has an empty prompt or completion")
            return None
        return canonical

    def wire_row(self, row: Row) -> Row:
        """The part of a canonical row that travels."""
        return {field: row[field] for field in self._travelling if field in row}

    def is_plainly_good(self, row: Row) -> bool:
        """Whether a row is canonical at a glance, given that its texts can be encoded; False may be wrong."""
        for field in self._plainly_needed:
            value = row.get(field)
            if type(value) is not str or value.isspace() or not value or "\0" in value:
                return False
        other = row.get("input")
        return type(other) is str and "\0" not in other and bool(self._plainly_needed)

    def _checked(self, row: Row) -> list[str]:
        extra = [field for field in _TEXT_COLUMNS if field in row and field in self._travelling]
        return list(dict.fromkeys((*self._required, *extra)))

    def _check(self, row: Row, field: str, line: int, findings: Findings) -> bool:
        value = row.get(field)
        if value is None:
            findings.add(line, field, "missing", f"is missing; the row has {', '.join(row) or 'no fields'}")
        elif isinstance(value, str):
            return good_text(value, field, line, findings, may_be_empty=field not in self._never_empty)
        elif field in _TEXT_COLUMNS or not _is_plain(value):
            findings.add(line, field, "type", f"is {kind_of(value)}, expected a text", value)
        else:
            return True
        return False


def good_text(value: str, field: str, line: int, findings: Findings, *, may_be_empty: bool = False) -> bool:
    """Whether a text can be used; a finding says why not."""
    if not may_be_empty and not value.strip():
        findings.add(line, field, "empty", "is empty")
    elif "\0" in value:
        findings.add(line, field, "nul", "contains a NUL character", value)
    elif not _encodes(value):
        findings.add(
            line, field, "surrogate", "contains half of a surrogate pair, which is no character", value
        )
    else:
        return True
    return False


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value))


def kind_of(value: Any) -> str:
    """What a JSON value is, for a sentence."""
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")
