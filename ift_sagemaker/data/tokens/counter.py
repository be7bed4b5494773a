"""How many tokens texts and rows have: counted by a model's tokenizer, or estimated and said to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ift_sagemaker.data.tokens.tokenizer import ModelTokenizer
from ift_sagemaker.wire.rows import Message

CHARACTERS_PER_TOKEN = 6
"""AWS's planning figure (Nova, "Preparing data for fine-tuning"); a text of many words has more tokens."""
_BATCH = 2_000


class TokenCounter:
    """Counts by a tokenizer (`exact`), or estimates by 6 characters a token where there is none."""

    def __init__(self, tokenizer: ModelTokenizer | None = None) -> None:
        self._tokenizer = tokenizer
        self.exact = tokenizer is not None
        self.name = f"estimate: {CHARACTERS_PER_TOKEN} characters a token"
        if tokenizer is not None:
            self.name = tokenizer.path

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without any that a template would add."""
        if self._tokenizer is None:
            return [-(-len(text) // CHARACTERS_PER_TOKEN) for text in texts]
        return [len(encoding) for encoding in self._encoded(self._tokenizer, texts)]

    def count_rows(self, rows: Sequence[Sequence[Message]]) -> list[int]:
        """Tokens of each conversation as the trainer has it: by the chat template, up to its last end token.

        A merge over the seam between a prompt and its answer, which the trainer keeps apart, may make a row
        there a token or two longer. Raises TemplateError where the chat template refuses a conversation.
        """
        tokenizer = self._tokenizer
        if tokenizer is None:
            return self.count(["".join(turn["content"] for turn in messages) for messages in rows])
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


def _up_to_stop(ids: list[int], stops: frozenset[int]) -> int:
    """How many ids there are up to the last stop token; all of them where there is none."""
    for place in range(len(ids) - 1, -1, -1):
        if ids[place] in stops:
            return place + 1
    return len(ids)
