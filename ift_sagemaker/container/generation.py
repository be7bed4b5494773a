"""Answers of a causal language model, several prompts at a time."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ift_sagemaker.container.listening import Listener

FINISH_STOP = "stop"
FINISH_LENGTH = "length"
FINISH_LEFT = "left"
"""Nobody listened any more."""


@dataclass(frozen=True)
class GenerationRequest:
    """Prompt tokens and how to go on from them.

    `temperature` 0 is greedy. The answer ends before the first of the `stop` texts, at an end token, or after
    `max_new_tokens`. Equal seeds give equal answers; None draws a new one.
    """

    prompt: Sequence[int]
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class Answer:
    """`text` without the end token; `tokens` generated, the end token included; `ended` by that token."""

    text: str
    tokens: int
    finish_reason: str
    ended: bool


@dataclass
class _Row:
    index: int
    request: GenerationRequest
    generator: torch.Generator | None
    listener: Listener | None
    tokens: list[int] = field(default_factory=list)


class BatchGenerator:
    """Decodes requests together; owns nothing but the references to model and tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, stop_ids: Collection[int]) -> None:
        self._model, self._tokenizer, self._stop_ids = model, tokenizer, frozenset(stop_ids)
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._extra = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    @property
    def context(self) -> int | None:
        """Most tokens of prompt and answer together, None where the model names no limit."""
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        return None if limit is None else int(limit)

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[GenerationRequest], listeners: Sequence[Listener | None] = ()
    ) -> list[Answer]:
        """One answer a request, in order. In float32 a greedy answer does not depend on its neighbours.

        `listeners`, one a request or none at all, hear their answers grow; one that is gone ends its answer.
        """
        hearing = listeners or [None] * len(requests)
        rows = [
            _Row(index, request, _generator(request, self._model.device), listener)
            for index, (request, listener) in enumerate(zip(requests, hearing, strict=True))
        ]
        answers: dict[int, Answer] = {}
        input_ids, mask = self._padded(requests)
        cache = None
        while rows:
            logits, cache = self._forward(input_ids, mask, cache)
            chosen = _choose(logits, rows)
            kept = []
            for place, (row, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
                row.tokens.append(token)
                answer = self._finished(row)
                if answer is None:
                    kept.append(place)
                else:
                    answers[row.index] = answer
            rows = [rows[place] for place in kept]
            if rows:
                input_ids, mask, cache = _next_inputs(chosen, mask, cache, kept)
        return [answers[index] for index in range(len(requests))]

    def _padded(self, requests: Sequence[GenerationRequest]) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompts padded on the left, so that all go on at the same column, and their mask."""
        width = max(len(request.prompt) for request in requests)
        input_ids = torch.zeros(len(requests), width, dtype=torch.long)
        mask = torch.zeros(len(requests), width, dtype=torch.long)
        for row, request in enumerate(requests):
            start = width - len(request.prompt)
            input_ids[row, start:] = torch.tensor(list(request.prompt), dtype=torch.long)
            mask[row, start:] = 1
        return input_ids.to(self._model.device), mask.to(self._model.device)

    def _forward(self, input_ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        """Logits after the last token, float32 [rows, vocabulary], and the cache grown by the inputs."""
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -input_ids.shape[1] :]
        output = self._model(
            input_ids=input_ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            **({"position_ids": positions} if self._takes_positions else {}),
            **self._extra,
        )
        return output.logits[:, -1].float(), output.past_key_values

    def _finished(self, row: _Row) -> Answer | None:
        count = len(row.tokens)
        if row.tokens[-1] in self._stop_ids:
            text = self._text(row.tokens[:-1])
            return Answer(text, count, FINISH_STOP, ended=True)
        is_last = count >= row.request.max_new_tokens
        if not (row.request.stop or row.listener or is_last):
            return None
        text = self._text(row.tokens)
        cut = _before_stop(text, row.request.stop)
        if cut is not None:
            return Answer(cut, count, FINISH_STOP, ended=False)
        if is_last:
            return Answer(text, count, FINISH_LENGTH, ended=False)
        return _told(row, text)

    def _text(self, tokens: Sequence[int]) -> str:
        # without the clean-up of spaces, which would change what has been told already
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def _told(row: _Row, text: str) -> Answer | None:
    """An answer cut short where nobody listens any more."""
    if row.listener is None:
        return None
    if row.listener.gone:
        return Answer(text, len(row.tokens), FINISH_LEFT, ended=False)
    row.listener.hear(text, row.tokens[-1])
    return None


def _before_stop(text: str, stops: Sequence[str]) -> str | None:
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else None


def _generator(request: GenerationRequest, device: Any) -> torch.Generator | None:
    if request.temperature == 0:
        return None
    generator = torch.Generator(device=device)
    if request.seed is None:
        generator.seed()
    else:
        generator.manual_seed(request.seed)
    return generator


def _choose(logits: torch.Tensor, rows: Sequence[_Row]) -> torch.Tensor:
    chosen = logits.argmax(dim=-1)
    for place, row in enumerate(rows):
        if row.generator is not None:
            chosen[place] = _sample(logits[place], row.request, row.generator)
    return chosen


def _sample(logits: torch.Tensor, request: GenerationRequest, generator: torch.Generator) -> torch.Tensor:
    probabilities = torch.softmax(logits / request.temperature, dim=-1)
    if request.top_p < 1:
        ordered, places = probabilities.sort(descending=True)
        # a token belongs to the nucleus while those before it have not filled top_p: the first always does
        ordered[ordered.cumsum(0) - ordered >= request.top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter_(0, places, ordered)
    return torch.multinomial(probabilities, 1, generator=generator)[0]


def _next_inputs(
    chosen: torch.Tensor, mask: torch.Tensor, cache: Any, kept: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Inputs of the next step; rows that have finished are taken out."""
    if len(kept) < len(chosen):
        places = torch.tensor(kept, device=chosen.device)
        chosen, mask = chosen[places], mask[places]
        cache.batch_select_indices(places)
    return chosen[:, None], torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1), cache
