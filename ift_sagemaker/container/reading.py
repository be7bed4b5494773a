"""From logits to tokens, from tokens to text, and where an answer ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from ift_sagemaker.container.generation import (
    FINISH_LEFT,
    FINISH_LENGTH,
    FINISH_STOP,
    Answer,
    GenerationRequest,
    Growing,
    Likely,
    Mark,
)
from ift_sagemaker.container.sampling import Chooser
from ift_sagemaker.container.spelling import GrowingText, Speller


class Reader:
    """Chooses the next tokens of growing answers, and knows where one ends."""

    def __init__(self, tokenizer: Any, stop_ids: Collection[int]) -> None:
        self._speller, self._stop_ids = Speller(tokenizer), frozenset(stop_ids)

    def choose(self, logits: torch.Tensor, rows: Sequence[Growing]) -> list[int]:
        """The next token of each row, from logits [rows, vocabulary]."""
        chosen: list[int] = logits.argmax(dim=-1).tolist()
        for place, row in enumerate(rows):
            if row.is_plain:
                continue
            own = logits[place].float()
            if not row.request.is_greedy:
                if row.chooser is None:
                    row.chooser = Chooser(row.request, self._ends(row.request), own)
                chosen[place] = row.chooser.choose(own, row.tokens)
            if row.request.logprobs is not None:
                row.likely = _likely(own, chosen[place], row.request.logprobs)
        return chosen

    def take(self, row: Growing, token: int) -> bool:
        """Whether the answer is finished with this token."""
        row.tokens.append(token)
        row.answer = self._finished(row, token)
        return row.answer is not None

    def _finished(self, row: Growing, token: int) -> Answer | None:
        request, count = row.request, len(row.tokens)
        if row.listener is not None and row.listener.gone:
            return self._answer(row, FINISH_LEFT)
        if row.text is None and (row.hears or request.stop or request.logprobs is not None):
            row.text = GrowingText(self._speller, request.stop)
        if row.likely:
            row.marks.append(self._marked(row, row.likely))
        if (token in self._stop_ids and not request.ignore_eos) or token in request.stop_token_ids:
            return self._answer(row, FINISH_STOP, ended=True)
        new = "" if row.text is None else row.text.add(token, is_free=count <= request.min_tokens)
        if row.text is not None and row.text.is_cut:
            return self._answer(row, FINISH_STOP)
        if count >= request.max_new_tokens:
            return self._answer(row, FINISH_LENGTH)
        if row.hears and row.listener is not None:
            row.listener.hear(new, token, row.marks[-1] if row.marks else None)
        return None

    def _ends(self, request: GenerationRequest) -> frozenset[int]:
        own = frozenset(request.stop_token_ids)
        return own if request.ignore_eos else own | self._stop_ids

    def _answer(self, row: Growing, reason: str, *, ended: bool = False) -> Answer:
        tokens = row.tokens[:-1] if ended else row.tokens
        text = self._speller.text(tokens) if row.text is None else row.text.whole
        return Answer(text, len(row.tokens), reason, ended, tuple(row.marks))

    def _marked(self, row: Growing, likely: Sequence[tuple[int, float]]) -> Mark:
        """The chosen token, which `likely` names first, and the likeliest."""
        chosen, *others = [
            Likely(token, self._speller.text([token], special=True), logprob) for token, logprob in likely
        ]
        is_special = chosen.token in self._speller.special
        offset = 0 if row.text is None else row.text.length
        return Mark(chosen, tuple(others), offset, is_special)


def _likely(logits: torch.Tensor, chosen: int, count: int) -> list[tuple[int, float]]:
    """The chosen token and then the `count` likeliest, each with its logarithm of likelihood.

    As the model had them, before temperature and penalties, as vLLM does.
    """
    logprobs = torch.log_softmax(logits, dim=-1)
    values, tokens = logprobs.topk(min(count, len(logprobs)))
    return [(chosen, float(logprobs[chosen])), *zip(tokens.tolist(), values.tolist(), strict=True)]
