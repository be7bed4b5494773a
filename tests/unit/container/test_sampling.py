"""Penalties and filters are those of transformers; a request's own come out of its greedy answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from ift_sagemaker.container.generation import Answer, GenerationRequest, Growing, generate
from ift_sagemaker.container.rounds import RoundDecoder
from ift_sagemaker.container.sampling import (
    Chooser,
    kept_min_p,
    kept_top_k,
    kept_top_p,
    repetition_penalised,
)
from ift_sagemaker.container.slots import SlotDecoder
from tests.unit.container.tiny import make_model, make_tokenizer

TOKENIZER = make_tokenizer()
MODEL = make_model()
PROMPT = [5, 6, 7, 40]
SEEDS = st.integers(0, 10_000)
NOTHING = torch.zeros(1, 0, dtype=torch.long)


def random_logits(seed: int, size: int = 97) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * 3


@given(seed=SEEDS, count=st.integers(1, 120))
def test_top_k_keeps_what_transformers_keeps(seed: int, count: int) -> None:
    logits = random_logits(seed)
    wanted = TopKLogitsWarper(count)(NOTHING, logits[None])[0]
    assert torch.equal(kept_top_k(logits, count), wanted)
    assert torch.equal(kept_top_k(logits, 0), logits)


@given(seed=SEEDS, share=st.floats(0.01, 1.0))
def test_top_p_keeps_what_transformers_keeps(seed: int, share: float) -> None:
    logits = random_logits(seed)
    wanted = TopPLogitsWarper(share)(NOTHING, logits[None])[0] if share < 1 else logits
    assert torch.equal(kept_top_p(logits, share), wanted)


@given(seed=SEEDS, share=st.floats(0.0, 1.0))
def test_min_p_keeps_what_transformers_keeps(seed: int, share: float) -> None:
    logits = random_logits(seed)
    assert torch.equal(kept_min_p(logits, share), MinPLogitsWarper(share)(NOTHING, logits[None])[0])


@given(seed=SEEDS, penalty=st.floats(0.1, 5.0), tokens=st.lists(st.integers(0, 96), min_size=1, max_size=20))
def test_a_repetition_is_penalised_as_transformers_does(seed: int, penalty: float, tokens: list[int]) -> None:
    logits = random_logits(seed)
    seen = torch.zeros(97, dtype=torch.bool)
    seen[torch.tensor(tokens)] = True
    wanted = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([tokens]), logits[None])[0]
    assert torch.allclose(repetition_penalised(logits, seen, penalty), wanted)


@given(
    seed=SEEDS,
    tokens=st.lists(st.integers(0, 9), max_size=12),
    frequency=st.floats(-2, 2, width=32),
    presence=st.floats(-2, 2, width=32),
    bias=st.dictionaries(st.integers(0, 9), st.floats(-100, 100, width=32), max_size=3),
)
def test_frequency_presence_and_bias_are_openais_formula(
    seed: int, tokens: list[int], frequency: float, presence: float, bias: dict[int, float]
) -> None:
    """mu[j] -> mu[j] - c[j]·frequency - (c[j] > 0)·presence, of the answer's tokens alone."""
    logits = random_logits(seed, 10)
    request = GenerationRequest(
        [1, 2],
        9,
        frequency_penalty=frequency,
        presence_penalty=presence,
        logit_bias=tuple(bias.items()),
    )
    wanted = [
        logit + bias.get(token, 0) - tokens.count(token) * frequency - (token in tokens) * presence
        for token, logit in enumerate(logits.tolist())
    ]
    chosen = Chooser(request, (), logits).choose(logits, tokens)
    assert wanted[chosen] == pytest.approx(max(wanted), abs=1e-4)


@given(seed=SEEDS, temperature=st.floats(1e-5, 100))
def test_any_temperature_gives_a_token_and_any_filter_leaves_one(seed: int, temperature: float) -> None:
    logits = random_logits(seed)
    request = GenerationRequest([1], 9, temperature, 1e-9, seed=seed, top_k=1, min_p=1.0)
    assert Chooser(request, (), logits).choose(logits, []) == int(logits.argmax())


@pytest.mark.parametrize("kind", [RoundDecoder, SlotDecoder])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"repetition_penalty": 1.7}, {"repetition_penalty": 1.7}),
        ({"min_tokens": 8}, {"min_new_tokens": 8}),
        ({"logit_bias": ((9, 4.0), (11, 9.5))}, {"sequence_bias": [[[9], 4.0], [[11], 9.5]]}),
        (
            {"repetition_penalty": 0.8, "min_tokens": 14},
            {"repetition_penalty": 0.8, "min_new_tokens": 14},
        ),
    ],
)
def test_greedy_answers_with_penalties_equal_those_of_generate(
    kind: type[RoundDecoder | SlotDecoder], ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    end = int(MODEL(input_ids=torch.tensor([PROMPT])).logits[0, -1].argmax())
    ids = torch.tensor([PROMPT])
    output = MODEL.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=16,
        do_sample=False,
        eos_token_id=end,
        pad_token_id=2,
        **theirs,
    )
    new = output[0, len(PROMPT) :].tolist()
    wanted = TOKENIZER.decode(new[:-1] if new[-1] == end else new, skip_special_tokens=True)
    decoder = kind(MODEL, TOKENIZER, {end})
    request = GenerationRequest(PROMPT, 16, **ours)
    beside = GenerationRequest([99, 3], 7, frequency_penalty=1.0)
    answer = generate(decoder, [beside, request])[1]
    assert (answer.text, answer.tokens) == (wanted, len(new))


def answer_of(**values: Any) -> Answer:
    decoder = SlotDecoder(MODEL, TOKENIZER, STOPS)
    return generate(decoder, [replace(GenerationRequest(PROMPT, 12), **values)])[0]


STOPS = {int(MODEL(input_ids=torch.tensor([PROMPT])).logits[0, -1].argmax())}


def test_ignore_eos_goes_on_behind_the_end_token() -> None:
    assert (answer_of().tokens, answer_of().finish_reason) == (1, "stop")
    on = answer_of(ignore_eos=True)
    assert (on.tokens, on.finish_reason) == (12, "length")


def test_a_token_of_the_request_ends_the_answer_and_is_not_part_of_it() -> None:
    free = answer_of(ignore_eos=True, logprobs=0)
    third = free.marks[2].chosen.token
    first = [mark.chosen.token for mark in free.marks].index(third)
    cut = answer_of(ignore_eos=True, stop_token_ids=(third,))
    assert (cut.tokens, cut.finish_reason) == (first + 1, "stop")
    assert free.text.startswith(cut.text)


@settings(deadline=None, max_examples=30)
@given(least=st.integers(0, 12))
def test_no_end_and_no_stop_text_before_the_least_number_of_tokens(least: int) -> None:
    free = answer_of(ignore_eos=True)
    assert answer_of(min_tokens=least).tokens > least or least == 12
    answer = answer_of(ignore_eos=True, min_tokens=least, stop=tuple(set(free.text) - {"\ufffd"}))
    assert answer.tokens > least or least == 12


def test_logprobs_are_the_models_own_and_name_the_likeliest() -> None:
    answer = answer_of(ignore_eos=True, logprobs=3, temperature=1.5, seed=1)
    tokens = [mark.chosen.token for mark in answer.marks]
    with torch.no_grad():
        logits = MODEL(input_ids=torch.tensor([PROMPT + tokens])).logits[0, len(PROMPT) - 1 : -1]
    wanted = torch.log_softmax(logits, dim=-1)
    for place, mark in enumerate(answer.marks):
        assert mark.chosen.logprob == pytest.approx(float(wanted[place, mark.chosen.token]), abs=1e-4)
        best = wanted[place].topk(3)
        assert [likely.token for likely in mark.top] == best.indices.tolist()
        assert [likely.logprob for likely in mark.top] == pytest.approx(best.values.tolist(), abs=1e-4)
    assert len(answer.marks) == answer.tokens == 12


def test_a_greedy_request_without_penalties_costs_no_more_than_taking_the_likeliest() -> None:
    decoder = SlotDecoder(MODEL, TOKENIZER, STOPS)
    row = Growing(GenerationRequest(PROMPT, 5, ignore_eos=True))
    decoder.admit([row])
    decoder.step()
    assert row.is_plain
    assert (row.chooser, row.text, row.marks) == (None, None, [])
