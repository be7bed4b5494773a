"""How many tokens texts and rows have: counted by a model's tokenizer, or estimated and said to be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ift_sagemaker.data.tokens.tokenizer import ModelTokenizer
from ift_sagemaker.wire.rows import Message

PLANNING_CHARACTERS = 6
"""Characters a token in AWS's planning (Nova, "Preparing data for fine-tuning"), by which its limits are met.

A text that is too long by this figure surely is: nearly every text has more tokens.
"""
CHARACTERS_PER_TOKEN = (2.5, 4.0, float(PLANNING_CHARACTERS))
"""Least, likely, most. SmolLM2's tokenizer has 2.8 on arithmetic and 4.4 on English reviews (measured)."""
TEMPLATE_TOKENS = (5, 30, 45)
"""What a chat template adds to a row, least, likely, most: its marks, and the system prompt of some."""
ESTIMATE = "{1:g} characters a token, where {0:g} to {2:g} are usual".format(*CHARACTERS_PER_TOKEN)
_BATCH = 2_000


class TokenCounter:
    """Counts by a tokenizer (`exact`), or estimates from characters where there is none."""

    def __init__(self, tokenizer: ModelTokenizer | None = None) -> None:
        self._tokenizer = tokenizer
        self.exact = tokenizer is not None
        self.name = f"estimate: {ESTIMATE}, and {TEMPLATE_TOKENS[1]} a row for a chat template"
        if tokenizer is not None:
            self.name = tokenizer.path

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without any that a template would add."""
        if self._tokenizer is None:
            return [estimated(len(text)) for text in texts]
        return [len(encoding) for encoding in self._encoded(self._tokenizer, texts)]

    def count_rows(self, rows: Sequence[Sequence[Message]]) -> list[int]:
        """Tokens of each conversation as the trainer has it: by the chat template, up to its last end token.

        A merge over the seam between a prompt and its answer, which the trainer keeps apart, may make a row
        there a token or two longer. Raises TemplateError where the chat template refuses a conversation.
        """
        tokenizer = self._tokenizer
        if tokenizer is None:
            return [
                estimated(sum(len(turn["content"]) for turn in messages)) + TEMPLATE_TOKENS[1]
                for messages in rows
            ]
        if not tokenizer.encoder.has_template:
            return [len(tokenizer.encoder.row(messages).ids) for messages in rows]
        texts = [tokenizer.encoder.rendered(messages) for messages in rows]
        stops = tokenizer.stop_ids
        return [_up_to_stop(encoding.ids, stops) for encoding in self._encoded(tokenizer, texts)]

    @staticmethod
    def _encoded(tokenizer: ModelTokenizer, texts: Sequence[str]) -> Iterator[Any]:
        for start in range(0, len(texts), _BATCH):
            yield from tokenizer.rust.encode_batch_fast(
                texts[start : start + _BATCH], add_special_tokens=False
            )


def estimated(characters: int) -> int:
    """The likely tokens of a text of so many characters."""
    return math.ceil(characters / CHARACTERS_PER_TOKEN[1])


def bounds(characters: int, rows: int) -> tuple[int, int]:
    """(least, most) tokens that rows of so many characters in all may have, chat template included."""
    least, _, most = CHARACTERS_PER_TOKEN
    return (
        math.ceil(characters / most) + TEMPLATE_TOKENS[0] * rows,
        math.ceil(characters / least) + TEMPLATE_TOKENS[2] * rows,
    )


def _up_to_stop(ids: list[int], stops: frozenset[int]) -> int:
    """How many ids there are up to the last stop token; all of them where there is none."""
    for place in range(len(ids) - 1, -1, -1):
        if ids[place] in stops:
            return place + 1
    return len(ids)
