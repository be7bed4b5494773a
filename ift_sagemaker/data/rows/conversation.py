"""The rules of conversations: roles, their order, and calls of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.instruction import Row, good_text, kind_of

ROLES = ("system", "user", "assistant")
TOOL_ROLES = (*ROLES, "tool")


class ChatFormat:
    """Rows with `messages`: an optional system turn, then user and assistant in turn, the assistant last.

    With `tools`, an assistant's turn may call tools (`tool_calls`) and `tool` turns answer it, as OpenAI has
    them; without, such turns are errors, for they would be lost.
    """

    def __init__(self, *, tools: bool = False) -> None:
        self._tools = tools
        self._roles = TOOL_ROLES if tools else ROLES

    def normalise(self, row: Mapping[str, Any], line: int, findings: Findings) -> Row | None:
        """The canonical row; None where findings were added."""
        turns = row.get("messages")
        if turns is None:
            findings.add(
                line, "messages", "missing", f"is missing; the row has {', '.join(row) or 'no fields'}"
            )
            return None
        if not isinstance(turns, list) or not turns:
            findings.add(line, "messages", "type", "is no list of turns, or an empty one", turns)
            return None
        good = [self._check_turn(turn, index, line, findings) for index, turn in enumerate(turns)]
        if not all(good) or not _check_order(turns, line, findings):
            return None
        return {**row, "messages": [self._plain(turn) for turn in turns]}

    def wire_row(self, row: Row) -> Row:
        """The part of a canonical row that travels."""
        label = row.get("instruction")
        return {"messages": row["messages"]} | ({"instruction": label} if isinstance(label, str) else {})

    def _plain(self, turn: Row) -> Row:
        kept = (
            ("role", "content", "tool_calls", "tool_call_id", "name") if self._tools else ("role", "content")
        )
        return {"content": "", **{key: turn[key] for key in kept if turn.get(key) is not None}}

    def _check_turn(self, turn: Any, index: int, line: int, findings: Findings) -> bool:
        path = f"messages[{index}]"
        if not isinstance(turn, dict):
            message = f"is {kind_of(turn)}, expected an object with role and content"
            findings.add(line, path, "type", message, turn)
            return False
        role = turn.get("role")
        if role not in self._roles:
            rule, text = ("missing", "is missing") if role is None else ("role", "is no known role")
            findings.add(line, f"{path}.role", rule, f"{text}; known are {', '.join(self._roles)}", role)
        if not self._tools and turn.get("tool_calls"):
            message = "calls tools, which this target cannot learn"
            findings.add(line, f"{path}.tool_calls", "tools", message)
            return False
        self._check_keys(turn, path, line, findings)
        return self._check_content(turn, path, line, findings) and role in self._roles

    def _check_keys(self, turn: Row, path: str, line: int, findings: Findings) -> None:
        known = {"role", "content"} | ({"tool_calls", "tool_call_id", "name"} if self._tools else set())
        if ignored := sorted(key for key in turn if key not in known and turn[key] is not None):
            message = f"{', '.join(ignored)} will not be used"
            findings.add(line, path, "ignored-key", message, severity="warning")

    def _check_content(self, turn: Row, path: str, line: int, findings: Findings) -> bool:
        content, field = turn.get("content"), f"{path}.content"
        calls = turn.get("tool_calls")
        if calls:
            return _check_calls(calls, path, line, findings) and (
                content is None or _is_text(content, field, line, findings, may_be_empty=True)
            )
        if content is None:
            findings.add(line, field, "missing", "is missing")
            return False
        return _is_text(content, field, line, findings, may_be_empty=turn.get("role") == "tool")


def _is_text(content: Any, field: str, line: int, findings: Findings, *, may_be_empty: bool) -> bool:
    if isinstance(content, str):
        return good_text(content, field, line, findings, may_be_empty=may_be_empty)
    findings.add(line, field, "type", f"is {kind_of(content)}, expected a text", content)
    return False


def _check_calls(calls: Any, path: str, line: int, findings: Findings) -> bool:
    for index, call in enumerate(calls if isinstance(calls, list) else [calls]):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            field = f"{path}.tool_calls[{index}]"
            findings.add(line, field, "type", "is no call with function.name", call)
            return False
    return True


def _check_order(turns: Sequence[Row], line: int, findings: Findings) -> bool:
    roles = [turn["role"] for turn in turns]
    shown = ", ".join(roles[:8]) + (" …" if len(roles) > 8 else "")
    talk = turns[1:] if roles[0] == "system" else turns
    # a call and the tools' answers belong to the assistant's turn that they lead to
    spoken = [turn["role"] for turn in talk if turn["role"] != "tool" and not turn.get("tool_calls")]
    if "system" in spoken:
        findings.add(line, "messages", "role-order", "system stands elsewhere than first", shown)
    elif any(role != ("user", "assistant")[index % 2] for index, role in enumerate(spoken)):
        findings.add(
            line, "messages", "role-order", "user and assistant do not alternate from user on", shown
        )
    elif not talk or talk[-1]["role"] != "assistant":
        findings.add(line, "messages", "role-order", "the last turn is not the assistant's", shown)
    else:
        return True
    return False
