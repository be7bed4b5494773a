"""What a canonical row asks and what it answers, as texts, whatever format it was written in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ift_sagemaker.data.rows.formats import Format, joined_prompt
from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.wire.template import ALPACA, PromptTemplate

Pair = tuple[str, str]


def pairing(canonical: Format, template: PromptTemplate | None = None) -> Callable[[Row], Pair]:
    """How a row is parted into (prompt, answer); `template` is that of instruction rows.

    A text asks all it says, an image its address; an answer may be empty.
    """
    if canonical == "alpaca" and template is not None and template != ALPACA:
        return lambda row: (template.render_prompt(row), template.render_completion(row))
    return _PAIRINGS[canonical]


def has_words(canonical: Format) -> bool:
    """Whether prompts are texts, which can be nearly the same; the address of an image is none."""
    return canonical != "image"


def asked_in(turns: Sequence[Mapping[str, Any]]) -> str:
    """One user's turn as it is, several as `role: content` lines."""
    if len(turns) == 1 and turns[0]["role"] == "user":
        return str(turns[0]["content"])
    return "\n".join(f"{turn['role']}: {_said(turn)}" for turn in turns)


def _said(turn: Mapping[str, Any]) -> str:
    calls = turn.get("tool_calls")
    content = str(turn["content"])
    return content + json.dumps(calls, ensure_ascii=False, sort_keys=True) if calls else content


_PAIRINGS: Mapping[Format, Callable[[Row], Pair]] = {
    "alpaca": lambda row: (joined_prompt(row), row["output"]),
    "chat": lambda row: (asked_in(row["messages"][:-1]), _said(row["messages"][-1])),
    "text": lambda row: (row["text"], ""),
    "label": lambda row: (f"{row['text']}\n{row.get('second_text') or ''}".rstrip("\n"), row["label"]),
    "image": lambda row: (row["image"], row["caption"]),
    "preference": lambda row: (asked_in(row["messages"]), f"{row['chosen']}\n\n{row['rejected']}"),
}
