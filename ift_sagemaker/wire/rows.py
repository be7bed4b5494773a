"""Rows on the wire: `train.jsonl`, one JSON object a line, read without loading the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from ift_sagemaker.errors import DatasetError
from ift_sagemaker.wire.template import TEMPLATE_FILE, PromptTemplate

TRAIN_FILE = "train.jsonl"


class Message(TypedDict):
    """One chat turn; roles as OpenAI and Hugging Face spell them."""

    role: str
    content: str


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One line of `train.jsonl`: UTF-8, keys sorted, so equal rows are equal bytes."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True, allow_nan=False).encode() + b"\n"


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of one JSON-lines file, in order; blank lines are passed over.

    Raises DatasetError naming file and line at the first line that is not a JSON object.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DatasetError(f"{path}:{number}: not JSON: {error}", path=str(path)) from error
            if not isinstance(row, dict):
                raise DatasetError(f"{path}:{number}: not a JSON object", path=str(path))
            yield row


def read_channel(folder: Path) -> tuple[list[dict[str, Any]], PromptTemplate | None]:
    """All rows of the channel's `*.jsonl` files in name order, and its template if it has one."""
    rows = [row for file in sorted(folder.glob("*.jsonl")) for row in read_rows(file)]
    template = folder / TEMPLATE_FILE
    return rows, PromptTemplate.from_json(template.read_text("utf-8")) if template.exists() else None


def to_messages(row: Mapping[str, Any], template: PromptTemplate | None) -> list[Message]:
    """The chat turns of one row: its `messages`, or prompt and completion of the template."""
    if template is None:
        return [Message(role=turn["role"], content=turn["content"]) for turn in row["messages"]]
    return [
        Message(role="user", content=template.render_prompt(row)),
        Message(role="assistant", content=template.render_completion(row)),
    ]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Number of rows written to `path`."""
    count = 0
    with path.open("wb") as file:
        for row in rows:
            file.write(encode_row(row))
            count += 1
    return count
