"""What every row must be, by canonical format: one object each, which checks a row and makes it canonical."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ift_sagemaker.data.rows.conversation import ChatFormat
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.formats import Format
from ift_sagemaker.data.rows.instruction import InstructionFormat, Row, good_text, kind_of
from ift_sagemaker.wire.template import ALPACA, PromptTemplate


class RowRules(Protocol):
    """Checks rows of one canonical format."""

    def normalise(self, row: Mapping[str, Any], line: int, findings: Findings) -> Row | None:
        """The canonical row; None where findings were added."""
        ...

    def wire_row(self, row: Row) -> Row:
        """The part of a canonical row that travels."""
        ...


def plainly_good(rules: RowRules) -> Callable[[Row], bool]:
    """A cheap look that spares most rows the rules; it may ask for the rules where they find nothing."""
    return rules.is_plainly_good if isinstance(rules, InstructionFormat) else _never


def _never(_: Row) -> bool:
    return False


class FieldsFormat:
    """Rows of texts: `required` may not be empty, `optional` may be absent."""

    def __init__(self, required: Sequence[str], optional: Sequence[str] = ()) -> None:
        self._required, self._optional = tuple(required), tuple(optional)

    def normalise(self, row: Mapping[str, Any], line: int, findings: Findings) -> Row | None:
        fields = (*self._required, *(name for name in self._optional if row.get(name) is not None))
        good = [self._check(row, field, line, findings) for field in fields]
        return {**row, **{name: str(row[name]) for name in fields}} if all(good) else None

    def wire_row(self, row: Row) -> Row:
        return {name: row[name] for name in (*self._required, *self._optional) if name in row}

    @staticmethod
    def _check(row: Mapping[str, Any], field: str, line: int, findings: Findings) -> bool:
        value = row.get(field)
        if value is None:
            findings.add(line, field, "missing", f"is missing; the row has {', '.join(row) or 'no fields'}")
            return False
        if field == "label" and isinstance(value, int) and not isinstance(value, bool):
            return True
        if not isinstance(value, str):
            findings.add(line, field, "type", f"is {kind_of(value)}, expected a text", value)
            return False
        return good_text(value, field, line, findings)


class PreferenceFormat:
    """Rows with the turns of a prompt, a chosen and a rejected answer."""

    def __init__(self) -> None:
        self._chat = ChatFormat()
        self._answers = FieldsFormat(("chosen", "rejected"))

    def normalise(self, row: Mapping[str, Any], line: int, findings: Findings) -> Row | None:
        answered = self._answers.normalise(row, line, findings)
        turns = row.get("messages")
        if not isinstance(turns, list):
            findings.add(
                line, "prompt", "missing", "the prompt is missing, or is not the same for both answers"
            )
            return None
        whole = {"messages": [*turns, {"role": "assistant", "content": "-"}]}
        asked = self._chat.normalise(whole, line, findings)
        if answered is None or asked is None:
            return None
        if answered["chosen"] == answered["rejected"]:
            findings.add(line, "rejected", "preference", "is the chosen answer", answered["rejected"])
            return None
        return {**answered, "messages": asked["messages"][:-1]}

    def wire_row(self, row: Row) -> Row:
        return {name: row[name] for name in ("messages", "chosen", "rejected")}


def rules_of(canonical: Format, template: PromptTemplate | None = None, *, tools: bool = False) -> RowRules:
    """The rules of a canonical format; `template` for instruction rows, `tools` for conversations."""
    match canonical:
        case "alpaca":
            return InstructionFormat(template or ALPACA)
        case "chat":
            return ChatFormat(tools=tools)
        case "text":
            return FieldsFormat(("text",))
        case "label":
            return FieldsFormat(("label", "text"), ("second_text",))
        case "image":
            return FieldsFormat(("image", "caption"), ("class_prompt",))
        case "preference":
            return PreferenceFormat()
