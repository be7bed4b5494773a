"""Rows as the model will see them, with the part that is trained marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ift_sagemaker.data.tokens.tokenizer import ModelTokenizer
from ift_sagemaker.wire.rows import Message

OPEN, CLOSE = "⟦", "⟧"


@dataclass(frozen=True)
class RenderedRow:
    """One row, `line` in its source: `trained` holds half-open spans of characters of `text`.

    With a tokenizer `exact` is True: the text is that of the very tokens that are trained on (`tokens`, of
    which `trained_tokens` are learnt; `ended` where the answer closes with an end token). Without one the
    turns are shown, and what a model's chat template will make of them is open.
    """

    line: int
    text: str
    trained: tuple[tuple[int, int], ...]
    exact: bool
    tokens: int | None = None
    trained_tokens: int | None = None
    ended: bool | None = None

    def pieces(self) -> list[tuple[str, bool]]:
        """(text, whether it is trained) in order; together they are the whole text."""
        found, at = [], 0
        for start, end in self.trained:
            found += [(self.text[at:start], False), (self.text[start:end], True)]
            at = end
        return [piece for piece in (*found, (self.text[at:], False)) if piece[0]]

    def __str__(self) -> str:
        """The text with the trained parts in brackets."""
        return "".join(f"{OPEN}{text}{CLOSE}" if trained else text for text, trained in self.pieces())

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def render_row(line: int, messages: Sequence[Message], tokenizer: ModelTokenizer | None) -> RenderedRow:
    """The row as it is trained on. Raises TemplateError where the chat template refuses it."""
    return _as_turns(line, messages) if tokenizer is None else _as_tokens(line, messages, tokenizer)


def _as_tokens(line: int, messages: Sequence[Message], tokenizer: ModelTokenizer) -> RenderedRow:
    row = tokenizer.encoder.row(messages)

    def place(count: int) -> int:
        # of all tokens up to there: the first of a piece alone may lose the space before it
        return len(tokenizer.decode(row.ids[:count]))

    spans = tuple((place(start), place(end)) for start, end in row.trained)
    return RenderedRow(
        line,
        tokenizer.decode(row.ids),
        spans,
        exact=True,
        tokens=len(row.ids),
        trained_tokens=row.trained_count,
        ended=row.ended,
    )


def _as_turns(line: int, messages: Sequence[Message]) -> RenderedRow:
    text, spans = "", []
    for message in messages:
        text += f"{message['role']}:\n"
        if message["role"] == "assistant":
            spans.append((len(text), len(text) + len(message["content"])))
        text += f"{message['content']}\n"
    return RenderedRow(line, text, tuple(spans), exact=False)
