"""Answers of a causal language model: what is asked, how one grows, and decoding several together."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ift_sagemaker.container.listening import Listener

if TYPE_CHECKING:
    from ift_sagemaker.container.sampling import Chooser
    from ift_sagemaker.container.spelling import GrowingText

FINISH_STOP = "stop"
FINISH_LENGTH = "length"
FINISH_LEFT = "left"
"""Nobody listened any more."""


@dataclass(frozen=True)
class GenerationRequest:
    """Prompt tokens and how to go on from them; names and meanings are those of vLLM's SamplingParams.

    `temperature` 0 takes the likeliest. The answer ends before the first of the `stop` texts, at an end token
    (unless `ignore_eos`) or one of `stop_token_ids`, and at `max_new_tokens`; the first three not within
    `min_tokens`. Equal seeds give equal answers; None draws a new one. `frequency_penalty` and
    `presence_penalty` (-2 to 2) count the answer's tokens, `repetition_penalty` (above 0) the prompt's too.
    `logprobs` is how many of the likeliest tokens are told at each; None tells nothing. `adapter` names one
    of the served adapters; empty is the model itself.
    """

    prompt: Sequence[int]
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: tuple[int, ...] = ()
    logprobs: int | None = None
    adapter: str = ""

    @property
    def is_greedy(self) -> bool:
        """Whether each token is the likeliest, as the model has it."""
        return not (
            self.temperature
            or self.frequency_penalty
            or self.presence_penalty
            or self.repetition_penalty != 1
            or self.logit_bias
            or self.min_tokens
        )


@dataclass(frozen=True)
class Likely:
    """A token, its text alone (half a character is U+FFFD), and the logarithm of its likelihood."""

    token: int
    text: str
    logprob: float


@dataclass(frozen=True)
class Mark:
    """One token of an answer: what was chosen, the likeliest, and after how many settled characters."""

    chosen: Likely
    top: tuple[Likely, ...]
    offset: int
    special: bool


@dataclass(frozen=True)
class Answer:
    """`text` without the end token; `tokens` generated, the end token included; `ended` by that token.

    `marks`, one a token, where the request asked for logprobs.
    """

    text: str
    tokens: int
    finish_reason: str
    ended: bool
    marks: tuple[Mark, ...] = ()


class Growing:
    """One answer while it grows; `answer` is there once it is finished."""

    def __init__(self, request: GenerationRequest, listener: Listener | None = None) -> None:
        self.request, self.listener = request, listener
        self.is_plain = request.is_greedy and request.logprobs is None
        self.tokens: list[int] = []
        self.answer: Answer | None = None
        self.chooser: Chooser | None = None
        self.text: GrowingText | None = None
        self.likely: list[tuple[int, float]] = []
        self.marks: list[Mark] = []

    @property
    def length(self) -> int:
        """Tokens of prompt and answer so far."""
        return len(self.request.prompt) + len(self.tokens)

    @property
    def hears(self) -> bool:
        return self.listener is not None and self.listener.hears


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


def context_of(model: Any) -> int | None:
    """Most tokens of prompt and answer together, None where the model names no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return None if limit is None else int(limit)
