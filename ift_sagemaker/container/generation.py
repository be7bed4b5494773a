"""Answers of a causal language model: what is asked, how one grows, and decoding several together."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ift_sagemaker.container.listening import Listener

FINISH_STOP = "stop"
FINISH_LENGTH = "length"
FINISH_LEFT = "left"
"""Nobody listened any more."""
_COLDEST = torch.finfo(torch.float32).tiny


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


class Growing:
    """One answer while it grows; `answer` is there once it is finished."""

    def __init__(self, request: GenerationRequest, listener: Listener | None = None) -> None:
        self.request, self.listener = request, listener
        self.tokens: list[int] = []
        self.answer: Answer | None = None
        self._generator: torch.Generator | None = None

    @property
    def length(self) -> int:
        """Tokens of prompt and answer so far."""
        return len(self.request.prompt) + len(self.tokens)

    def choose(self, logits: torch.Tensor) -> int | None:
        """The next token by the request's own dice from float32 [vocabulary]; None where it is greedy."""
        if self.request.temperature == 0:
            return None
        if self._generator is None:
            self._generator = _generator(self.request, logits.device)
        return int(_sample(logits, self.request, self._generator))


class Reader:
    """Turns tokens into text, and knows where an answer ends."""

    def __init__(self, tokenizer: Any, stop_ids: Collection[int]) -> None:
        self._tokenizer, self._stop_ids = tokenizer, frozenset(stop_ids)

    def take(self, row: Growing, token: int) -> bool:
        """Whether the answer is finished with this token."""
        row.tokens.append(token)
        row.answer = self._finished(row)
        return row.answer is not None

    def _finished(self, row: Growing) -> Answer | None:
        count = len(row.tokens)
        if row.listener is not None and row.listener.gone:
            return Answer(self._text(row.tokens), count, FINISH_LEFT, ended=False)
        if row.tokens[-1] in self._stop_ids:
            return Answer(self._text(row.tokens[:-1]), count, FINISH_STOP, ended=True)
        is_last = count >= row.request.max_new_tokens
        hears = row.listener is not None and row.listener.hears
        if not (row.request.stop or hears or is_last):
            return None
        text = self._text(row.tokens)
        cut = _before_stop(text, row.request.stop)
        if cut is not None:
            return Answer(cut, count, FINISH_STOP, ended=False)
        if is_last:
            return Answer(text, count, FINISH_LENGTH, ended=False)
        if hears and row.listener is not None:
            row.listener.hear(text, row.tokens[-1])
        return None

    def _text(self, tokens: Sequence[int]) -> str:
        # without the clean-up of spaces, which would change what has been told already
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


class Decoder(Protocol):
    """Answers that grow together. All of it is called by one thread, the one that made the tensors."""

    @property
    def context(self) -> int | None:
        """Most tokens of prompt and answer together, None where the model names no limit."""

    @property
    def active(self) -> int:
        """How many answers grow."""

    def room(self, requests: Sequence[GenerationRequest]) -> int:
        """How many of the first of these may be admitted now; at least 1 where none grows."""

    def admit(self, rows: Sequence[Growing]) -> list[Growing]:
        """Reads the prompts and makes the first token of each; those that are finished with it come back.

        An error leaves what grew before as it was, and none of these growing.
        """

    def step(self) -> list[Growing]:
        """One more token for each; those that are finished with it come back and grow no more."""

    def clear(self) -> None:
        """Forgets all that grows."""


def generate(
    decoder: Decoder, requests: Sequence[GenerationRequest], listeners: Sequence[Listener | None] = ()
) -> list[Answer]:
    """One answer a request, in order. In float32 a greedy answer does not depend on its neighbours.

    `listeners`, one a request or none at all, hear their answers grow; one that is gone ends its answer.
    """
    hearing = listeners or [None] * len(requests)
    rows = [Growing(request, listener) for request, listener in zip(requests, hearing, strict=True)]
    waiting = deque(rows)
    while waiting or decoder.active:
        room = decoder.room([row.request for row in waiting])
        if room:
            decoder.admit([waiting.popleft() for _ in range(room)])
        decoder.step()
    return [row.answer for row in rows if row.answer is not None]


def choose(logits: torch.Tensor, rows: Sequence[Growing]) -> list[int]:
    """The next token of each row, from logits [rows, vocabulary]."""
    chosen: list[int] = logits.argmax(dim=-1).tolist()
    for place, row in enumerate(rows):
        if row.request.temperature:
            own = row.choose(logits[place].float())
            chosen[place] = chosen[place] if own is None else own
    return chosen


def context_of(model: Any) -> int | None:
    """Most tokens of prompt and answer together, None where the model names no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return None if limit is None else int(limit)


def _before_stop(text: str, stops: Sequence[str]) -> str | None:
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else None


def _generator(request: GenerationRequest, device: Any) -> torch.Generator:
    generator = torch.Generator(device=device)
    if request.seed is None:
        generator.seed()
    else:
        generator.manual_seed(request.seed)
    return generator


def _sample(logits: torch.Tensor, request: GenerationRequest, generator: torch.Generator) -> torch.Tensor:
    # from the greatest down and by no less than a float32 holds: the coldest dice are greedy, and never NaN
    below = logits - logits.max()
    probabilities = torch.softmax(below / max(request.temperature, _COLDEST), dim=-1)
    if request.top_p < 1:
        ordered, places = probabilities.sort(descending=True)
        # a token belongs to the nucleus while those before it have not filled top_p: the first always does
        ordered[ordered.cumsum(0) - ordered >= request.top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter_(0, places, ordered)
    return torch.multinomial(probabilities, 1, generator=generator)[0]
