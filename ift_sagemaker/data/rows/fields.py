"""Renaming the fields of a source to canonical ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.data.rows.instruction import Row


class FieldMap:
    """Renames source fields to canonical ones; a source is a key of the row or a dotted path into it.

    Whole numbers in a path are places in a list, from 0, or from its end where negative: `turns.-1.text`.
    """

    def __init__(self, fields: Mapping[str, str] | None) -> None:
        self._fields = dict(fields or {})

    def apply(self, row: Mapping[str, Any]) -> Row:
        if not self._fields:
            return dict(row)
        found = {name: value_at(row, source) for name, source in self._fields.items()}
        taken = {*self._fields, *self._fields.values()}
        rest = {name: value for name, value in row.items() if name not in taken}
        return {name: value for name, value in found.items() if value is not None} | rest


def value_at(row: Mapping[str, Any], source: str) -> Any:
    """What stands at a key or a dotted path; None where nothing does."""
    if source in row:
        return row[source]
    value: Any = row
    for part in source.split("."):
        value = _below(value, part)
    return value


def _below(value: Any, part: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list) and part.removeprefix("-").isdecimal() and part.isascii():
        place = int(part)
        return value[place] if -len(value) <= place < len(value) else None
    return None
