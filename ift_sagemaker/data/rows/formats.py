"""The shapes that rows come in: a table. Each brings its rows into a canonical shape.

Canonical are `alpaca` (instruction, input, output), `chat` (messages as OpenAI has them), `text`, `label`
(label, text, second_text), `preference` (messages, chosen, rejected) and `image` (image, caption). Bringing a
row into its canonical shape checks nothing and drops nothing: what does not fit stays as it is for the rules
to name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ift_sagemaker.data.rows.instruction import Row

Format = Literal["alpaca", "chat", "text", "label", "preference", "image"]

DETECTION_ROWS = 20
BEDROCK_SCHEMA = "bedrock-conversation-2024"
_SHAREGPT_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "system": "system",
    "observation": "tool",
    "function_call": "assistant",
}


def _as_it_is(row: Row) -> Row:
    return row


def _same_name(field: str) -> str:
    return field


@dataclass(frozen=True)
class RowShape:
    """One way to write rows. `keys` has the sets of keys by which it is known, the most telling first.

    `read` gives the canonical row, a list of them where one row holds several; `field` names a canonical
    field as the rows have it.
    """

    name: str
    canonical: Format
    keys: tuple[frozenset[str], ...]
    read: Callable[[Row], Row | list[Row]] = _as_it_is
    field: Callable[[str], str] = _same_name


def _renamed(names: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    """`read` and `field` of rows whose canonical fields have other names."""
    back = {source: canonical for canonical, source in names.items()}
    return {
        "read": lambda row: {back.get(key, key): value for key, value in row.items()},
        "field": lambda field: names.get(field, field),
    }


def joined_prompt(row: Row) -> str:
    """Instruction and input as the default template joins them."""
    return f"{row.get('instruction') or ''}\n\n{row.get('input') or ''}".strip("\n")


def _instances(row: Row) -> Row | list[Row]:
    instances = row.get("instances")
    if not isinstance(instances, list) or not all(isinstance(item, dict) for item in instances):
        return row
    rest = {key: value for key, value in row.items() if key != "instances"}
    return [{**rest, **instance} for instance in instances]


def _from_sharegpt(row: Row) -> Row:
    turns = row.get("conversations")
    if not isinstance(turns, list):
        return _moved(row, "conversations", "messages")
    messages = [_sharegpt_turn(turn) for turn in turns]
    if isinstance(row.get("system"), str) and row["system"]:
        messages.insert(0, {"role": "system", "content": row["system"]})
    rest = {key: value for key, value in row.items() if key not in ("conversations", "system")}
    return {**rest, "messages": messages}


def _sharegpt_turn(turn: Any) -> Any:
    if not isinstance(turn, dict):
        return turn
    said, value = turn.get("from"), turn.get("value")
    rest = {key: item for key, item in turn.items() if key not in ("from", "value")}
    if said == "function_call" and (call := _call_in(value)) is not None:
        return {**rest, "role": "assistant", "content": "", "tool_calls": [call]}
    role = _SHAREGPT_ROLES.get(said, said) if isinstance(said, str) else said
    return {**rest, "role": role, "content": value}


def _call_in(value: Any) -> Row | None:
    try:
        call = json.loads(value)
        return {"type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
    except (TypeError, ValueError, KeyError):
        return None


def _sharegpt_field(field: str) -> str:
    renamed = field.replace("messages", "conversations", 1)
    return renamed.replace("].role", "].from").replace("].content", "].value")


def _from_converse(row: Row) -> Row:
    turns = row.get("messages")
    if not isinstance(turns, list):
        return row
    messages = [_converse_turn(turn) for turn in turns]
    system = _only_text(row.get("system"))
    if isinstance(system, str) and system:
        messages.insert(0, {"role": "system", "content": system})
    dropped = ("messages", "schemaVersion", *(("system",) if isinstance(system, str) else ()))
    return {**{key: value for key, value in row.items() if key not in dropped}, "messages": messages}


def _converse_turn(turn: Any) -> Any:
    return {**turn, "content": _only_text(turn.get("content"))} if isinstance(turn, dict) else turn


def _only_text(blocks: Any) -> Any:
    """The text of a list of one text block; anything else as it is."""
    if (
        isinstance(blocks, list)
        and len(blocks) == 1
        and isinstance(blocks[0], dict)
        and set(blocks[0]) == {"text"}
    ):
        return blocks[0]["text"]
    return blocks


def _moved(row: Row, old: str, new: str) -> Row:
    return {(new if key == old else key): value for key, value in row.items()}


def _from_dialog(row: Row) -> Row:
    return _moved(row, "dialog" if "dialog" in row else "conversations", "messages")


def _turns_of(question: str, answer: str) -> Callable[[Row], Row]:
    """Reads a row whose system text and history make it a conversation."""

    def read(row: Row) -> Row:
        spoken = [{"role": "system", "content": row["system"]}] if row.get("system") else []
        history = row.get("history") or []
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
            return {**row, "messages": history}
        for asked, answered in history:
            spoken += _asked_and_answered(asked, answered)
        asked = joined_prompt({"instruction": row.get(question), "input": row.get("input")})
        rest = {key: row[key] for key in row if key not in (question, "input", answer, "system", "history")}
        return {**rest, "messages": spoken + _asked_and_answered(asked, row.get(answer))}

    return read


def _asked_and_answered(asked: Any, answered: Any) -> list[Row]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]


def _from_openai_preference(row: Row) -> Row:
    asked = row.get("input")
    messages = asked.get("messages") if isinstance(asked, dict) else asked
    chosen, rejected = (
        _only_answer(row.get("preferred_output")),
        _only_answer(row.get("non_preferred_output")),
    )
    rest = {key: row[key] for key in row if key not in ("input", "preferred_output", "non_preferred_output")}
    return {**rest, "messages": messages, "chosen": chosen, "rejected": rejected}


def _only_answer(turns: Any) -> Any:
    if isinstance(turns, list) and len(turns) == 1 and isinstance(turns[0], dict):
        return turns[0].get("content") if turns[0].get("role") == "assistant" else turns
    return turns


def _from_preference(row: Row) -> Row:
    """TRL's and SageMaker's pairs: prompt as text or turns, answers as text or as turns behind it."""
    prompt, chosen, rejected = row.get("prompt"), row.get("chosen"), row.get("rejected")
    shared: Any = prompt
    if isinstance(prompt, str):
        shared = [{"role": "user", "content": prompt}]
    elif prompt is None and isinstance(chosen, list) and isinstance(rejected, list):
        shared = chosen[:-1] if chosen[:-1] == rejected[:-1] else None
        chosen, rejected = chosen[-1:], rejected[-1:]
    if isinstance(row.get("system"), str) and isinstance(shared, list):
        shared = [{"role": "system", "content": row["system"]}, *shared]
    rest = {key: row[key] for key in row if key not in ("prompt", "chosen", "rejected", "system")}
    return {**rest, "messages": shared, "chosen": _only_answer(chosen), "rejected": _only_answer(rejected)}


def _keys(*sets: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(names.split()) for names in sets)


SHAPES: tuple[RowShape, ...] = (
    RowShape(
        "openai-preference",
        "preference",
        _keys("preferred_output non_preferred_output"),
        read=_from_openai_preference,
    ),
    RowShape("preference", "preference", _keys("chosen rejected"), read=_from_preference),
    RowShape(
        "converse",
        "chat",
        _keys("schemaVersion messages"),
        read=_from_converse,
    ),
    RowShape("chat", "chat", _keys("messages")),
    RowShape(
        "sharegpt",
        "chat",
        _keys("conversations"),
        read=_from_sharegpt,
        field=_sharegpt_field,
    ),
    RowShape(
        "jumpstart-dialog",
        "chat",
        _keys("dialog"),
        read=_from_dialog,
        field=lambda field: field.replace("messages", "dialog", 1),
    ),
    RowShape(
        "alpaca-chat",
        "chat",
        _keys("instruction output system", "instruction output history"),
        read=_turns_of("instruction", "output"),
    ),
    RowShape(
        "prompt-completion-system",
        "chat",
        _keys("prompt completion system"),
        read=_turns_of("prompt", "completion"),
    ),
    RowShape("self-instruct", "alpaca", _keys("instruction instances"), read=_instances),
    RowShape("alpaca", "alpaca", _keys("instruction output", "instruction input", "instruction")),
    RowShape(
        "dolly",
        "alpaca",
        _keys("instruction response"),
        **_renamed({"input": "context", "output": "response"}),
    ),
    RowShape(
        "prompt-completion",
        "alpaca",
        _keys("prompt completion"),
        **_renamed({"instruction": "prompt", "output": "completion"}),
    ),
    RowShape(
        "question-answer",
        "alpaca",
        _keys("question answer"),
        **_renamed({"instruction": "question", "output": "answer"}),
    ),
    RowShape("image-folder", "image", _keys("image caption")),
    RowShape("image-ref", "image", _keys("image-ref caption"), **_renamed({"image": "image-ref"})),
    RowShape("label", "label", _keys("label text")),
    RowShape("text", "text", _keys("text")),
)
BY_NAME: Mapping[str, RowShape] = {shape.name: shape for shape in SHAPES}
FORMATS: tuple[str, ...] = tuple(BY_NAME)


def detect(rows: Sequence[Mapping[str, Any]]) -> RowShape | None:
    """The shape that most of the first rows have; None where none has one."""
    first = rows[:DETECTION_ROWS]
    votes = [_shape_of(row) for row in first]
    found = [shape for shape in votes if shape is not None]
    return max(found, key=found.count) if found else None


def _shape_of(row: Mapping[str, Any]) -> RowShape | None:
    """The shape with the most telling keys that the row has."""
    fitting = [
        (max(len(keys) for keys in shape.keys if keys <= row.keys()), -place)
        for place, shape in enumerate(SHAPES)
        if any(keys <= row.keys() for keys in shape.keys)
    ]
    if not fitting:
        return BY_NAME["alpaca"] if "output" in row else None
    shape = SHAPES[-max(fitting)[1]]
    return BY_NAME["jumpstart-dialog"] if _is_dialog(shape, row) else shape


def _is_dialog(shape: RowShape, row: Mapping[str, Any]) -> bool:
    """JumpStart's chat rows may be named `conversations` too, but have roles."""
    turns = row.get("conversations")
    if shape.name != "sharegpt" or not isinstance(turns, list) or not turns:
        return False
    return isinstance(turns[0], dict) and "role" in turns[0]
