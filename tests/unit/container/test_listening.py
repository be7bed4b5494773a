"""What of a growing text is told: no half character, no half stop text, and in the end all of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ift_sagemaker.container.generation import FINISH_LEFT, Decoder, GenerationRequest, generate
from ift_sagemaker.container.listening import Telling, held_back
from ift_sagemaker.container.rounds import RoundDecoder
from ift_sagemaker.container.slots import SlotDecoder
from tests.unit.container.tiny import make_model, make_tokenizer

TOKENIZER = make_tokenizer()
KINDS = ["rounds", "slots"]
DECODERS: list[Decoder] = [kind(make_model(), TOKENIZER, {2}) for kind in (RoundDecoder, SlotDecoder)]


class Heard:
    """A listener that keeps what may be told, and leaves after `patience` tokens."""

    hears = True

    def __init__(self, stops: tuple[str, ...] = (), patience: int = 1000) -> None:
        self.telling = Telling(stops)
        self.pieces: list[str] = []
        self.tokens: list[int] = []
        self._patience = patience

    @property
    def gone(self) -> bool:
        return len(self.tokens) >= self._patience

    def hear(self, text: str, token: int, mark: Any) -> None:
        self.tokens.append(token)
        if more := self.telling.more(text):
            self.pieces.append(more)


@pytest.mark.parametrize("decoder", DECODERS, ids=KINDS)
@settings(deadline=None, max_examples=40)
@given(
    prompts=st.lists(st.lists(st.integers(3, 299), min_size=1, max_size=5), min_size=1, max_size=4),
    count=st.integers(1, 24),
    temperature=st.sampled_from([0.0, 2.0]),
    seed=st.integers(0, 50),
    data=st.data(),
)
def test_the_pieces_joined_are_the_answer_that_is_given_without_a_stream(
    decoder: Decoder, prompts: list[list[int]], count: int, temperature: float, seed: int, data: Any
) -> None:
    free = [GenerationRequest(prompt, count, temperature, seed=seed) for prompt in prompts]
    texts = [answer.text for answer in generate(decoder, free)]
    requests = [_with_stop(request, text, data) for request, text in zip(free, texts, strict=True)]
    plain = generate(decoder, requests)
    heard = [Heard(request.stop) for request in requests]
    streamed = generate(decoder, requests, heard)
    assert streamed == plain
    for listener, answer, request in zip(heard, streamed, requests, strict=True):
        before = "".join(listener.pieces)
        rest = listener.telling.rest(answer.text)
        assert rest is not None
        assert before + rest == answer.text
        assert not any(stop in before for stop in request.stop)


def _with_stop(request: GenerationRequest, text: str, data: Any) -> GenerationRequest:
    """The request with a stop text that its free answer may hold."""
    start = data.draw(st.integers(0, len(text)))
    stop = text[start : start + data.draw(st.integers(0, 4))]
    stops = (stop,) if stop else ()
    return GenerationRequest(
        request.prompt, request.max_new_tokens, request.temperature, stop=stops, seed=request.seed
    )


@settings(deadline=None)
@given(
    pieces=st.lists(st.text("abc", max_size=3), max_size=20),
    stops=st.lists(st.text("abc", min_size=1, max_size=5), max_size=3),
)
def test_no_stop_text_is_told_before_it_is_whole_and_in_the_end_all_is_told(
    pieces: list[str], stops: list[str]
) -> None:
    telling, text = Telling(stops), "".join(pieces)
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    wanted, told, heard = text[: min(places)] if places else text, "", ""
    for piece in pieces:
        heard += piece
        if any(stop in heard for stop in stops):
            break
        told += telling.more(piece)
        assert wanted.startswith(told)
    assert told + (telling.rest(wanted) or "") == wanted


@pytest.mark.parametrize(
    ("text", "stops", "count"),
    [("abc", ["cd"], 1), ("abc", ["bcd", "c"], 2), ("abc", [], 0), ("abab", ["ababa"], 4), ("x", ["y"], 0)],
)
def test_as_much_is_held_back_as_may_begin_a_stop_text(text: str, stops: list[str], count: int) -> None:
    assert held_back(text, stops) == count


def test_a_text_that_goes_on_otherwise_than_it_was_told_is_noticed() -> None:
    telling = Telling(())
    assert telling.more("é") == "é"
    assert telling.rest("e") is None


@pytest.mark.parametrize("decoder", DECODERS, ids=KINDS)
def test_an_answer_nobody_hears_any_more_ends_and_does_not_disturb_the_others(decoder: Decoder) -> None:
    requests = [GenerationRequest([5, 6, 7], 12), GenerationRequest([99], 12)]
    (_, alone) = generate(decoder, requests)
    leaving, staying = Heard(patience=3), Heard()
    left, stayed = generate(decoder, requests, [leaving, staying])
    assert (left.finish_reason, left.tokens) == (FINISH_LEFT, 4)
    assert stayed == alone
