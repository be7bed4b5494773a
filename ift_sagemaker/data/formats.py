"""The two formats of rows, Alpaca (instruction, input, output) and chat (messages): detection and checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from ift_sagemaker.data.finding import Findings
from ift_sagemaker.wire.template import PromptTemplate

Format = Literal["alpaca", "chat"]
Row = dict[str, Any]

FORMATS: tuple[Format, ...] = ("alpaca", "chat")
ROLES = ("system", "user", "assistant")
_DETECTION_ROWS = 20
_TEXT_COLUMNS = ("instruction", "input", "output")


class RowFormat(Protocol):
    """Checks rows of one format and brings them into their canonical form."""

    def normalise(self, row: Mapping[str, Any], line: int, findings: Findings) -> Row | None:
        """The canonical row; None where findings were added."""
        ...

    def wire_row(self, row: Row) -> Row:
        """The part of a canonical row that travels."""
        ...


def detect(rows: Sequence[Mapping[str, Any]]) -> Format | None:
    """The format of the first rows; None where they have the fields of neither."""
    first = rows[:_DETECTION_ROWS]
    chat = sum("messages" in row for row in first)
    alpaca = sum("messages" not in row and ("instruction" in row or "output" in row) for row in first)
    if not chat and not alpaca:
        return None
    return "chat" if chat > alpaca else "alpaca"


class FieldMap:
    """Renames source fields to canonical ones; a source is a key of the row or a dotted path into it."""

    def __init__(self, fields: Mapping[str, str] | None) -> None:
        self._fields = dict(fields or {})

    def apply(self, row: Mapping[str, Any]) -> Row:
        if not self._fields:
            return dict(row)
        found = {name: _lookup(row, source) for name, source in self._fields.items()}
        taken = {*self._fields, *self._fields.values()}
        rest = {name: value for name, value in row.items() if name not in taken}
        return {name: value for name, value in found.items() if value is not None} | rest


def _lookup(row: Mapping[str, Any], source: str) -> Any:
    if source in row:
        return row[source]
    value: Any = row
    for part in source.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


class InstructionFormat:
    """Alpaca rows, or any rows whose fields a template names."""

    def __init__(self, template: PromptTemplate) -> None:
        self._template = template
        self._optional_input = "input" in template.fields
        self._required = tuple(field for field in template.fields if field != "input")
        self._never_empty = {"instruction", *(set(template.fields) - set(template.prompt_fields))}
        self._travelling = ("instruction", *template.fields)

    def normalise(self, row: Mapping[str, Any], line: int, findings: Findings) -> Row | None:
        canonical = dict(row)
        if self._optional_input and canonical.get("input") is None:
            canonical["input"] = ""
        good = [self._check(canonical, field, line, findings) for field in self._checked(canonical)]
        if not all(good):
            return None
        rendered = (self._template.render_prompt(canonical), self._template.render_completion(canonical))
        if not all(text.strip() for text in rendered):
            findings.add(line, "", "empty", "has an empty prompt or completion")
            return None
        return canonical

    def wire_row(self, row: Row) -> Row:
        return {field: row[field] for field in self._travelling if field in row}

    def _checked(self, row: Row) -> list[str]:
        extra = [field for field in _TEXT_COLUMNS if field in row and field in self._travelling]
        return list(dict.fromkeys((*self._required, *extra)))

    def _check(self, row: Row, field: str, line: int, findings: Findings) -> bool:
        value = row.get(field)
        if value is None:
            findings.add(line, field, "missing", f"is missing; the row has {', '.join(row) or 'no fields'}")
        elif isinstance(value, str):
            return _good_text(value, field, line, findings, may_be_empty=field not in self._never_empty)
        elif field in _TEXT_COLUMNS or not _is_plain(value):
            findings.add(line, field, "type", f"is {_kind(value)}, expected a text", value)
        else:
            return True
        return False


class ChatFormat:
    """Rows with `messages`: an optional system turn, then user and assistant in turn, the assistant last."""

    def normalise(self, row: Mapping[str, Any], line: int, findings: Findings) -> Row | None:
        turns = row.get("messages")
        if turns is None:
            findings.add(
                line, "messages", "missing", f"is missing; the row has {', '.join(row) or 'no fields'}"
            )
            return None
        if not isinstance(turns, list) or not turns:
            findings.add(line, "messages", "type", "is no list of turns, or an empty one", turns)
            return None
        good = [_check_turn(turn, index, line, findings) for index, turn in enumerate(turns)]
        if not all(good) or not _check_order([turn["role"] for turn in turns], line, findings):
            return None
        plain = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
        return {**row, "messages": plain}

    def wire_row(self, row: Row) -> Row:
        label = row.get("instruction")
        return {"messages": row["messages"]} | ({"instruction": label} if isinstance(label, str) else {})


def _check_turn(turn: Any, index: int, line: int, findings: Findings) -> bool:
    path = f"messages[{index}]"
    if not isinstance(turn, dict):
        findings.add(line, path, "type", f"is {_kind(turn)}, expected an object with role and content", turn)
        return False
    role = turn.get("role")
    if role not in ROLES:
        rule, text = ("missing", "is missing") if role is None else ("role", "is no known role")
        findings.add(line, f"{path}.role", rule, f"{text}; known are {', '.join(ROLES)}", role)
    ignored = sorted(set(turn) - {"role", "content"})
    if ignored:
        findings.add(line, path, "ignored-key", f"{', '.join(ignored)} will not be used", severity="warning")
    return _check_content(turn.get("content"), f"{path}.content", line, findings) and role in ROLES


def _check_content(content: Any, path: str, line: int, findings: Findings) -> bool:
    if content is None:
        findings.add(line, path, "missing", "is missing")
        return False
    if not isinstance(content, str):
        findings.add(line, path, "type", f"is {_kind(content)}, expected a text", content)
        return False
    return _good_text(content, path, line, findings)


def _check_order(roles: Sequence[str], line: int, findings: Findings) -> bool:
    shown = ", ".join(roles[:8]) + (" …" if len(roles) > 8 else "")
    talk = roles[1:] if roles[0] == "system" else roles
    if "system" in talk:
        findings.add(line, "messages", "role-order", "system stands elsewhere than first", shown)
    elif any(role != ("user", "assistant")[index % 2] for index, role in enumerate(talk)):
        findings.add(
            line, "messages", "role-order", "user and assistant do not alternate from user on", shown
        )
    elif not talk or talk[-1] != "assistant":
        findings.add(line, "messages", "role-order", "the last turn is not the assistant's", shown)
    else:
        return True
    return False


def _good_text(value: str, field: str, line: int, findings: Findings, *, may_be_empty: bool = False) -> bool:
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


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")
