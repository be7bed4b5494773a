from __future__ import annotations

import pytest
import torch

from ift_sagemaker.container.generation import Answer, Decoder, GenerationRequest, generate
from ift_sagemaker.container.rounds import RoundDecoder
from ift_sagemaker.container.slots import SlotDecoder
from tests.unit.container.tiny import make_model, make_tokenizer

TOKENIZER = make_tokenizer()
PROMPTS = [[5, 6, 7], [40, 41, 42, 43, 44, 45, 46, 47], [99], [250, 3, 3, 8, 120]]
STOPS = frozenset({2})


Kind = type[RoundDecoder] | type[SlotDecoder]


@pytest.fixture(params=[RoundDecoder, SlotDecoder], ids=["rounds", "slots"])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def answers_of(kind: Kind, *requests: GenerationRequest, seed: int = 0) -> list[Answer]:
    return generate(kind(make_model(seed), TOKENIZER, STOPS), requests)


def by_transformers(prompt: list[int], count: int, seed: int = 0) -> str:
    model = make_model(seed)
    ids = torch.tensor([prompt])
    output = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False
    )
    return str(TOKENIZER.decode(output[0, len(prompt) :], skip_special_tokens=True))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_greedy_answers_equal_those_of_transformers_one_by_one_and_batched(kind: Kind, seed: int) -> None:
    requests = [GenerationRequest(prompt, 12) for prompt in PROMPTS]
    together = [answer.text for answer in answers_of(kind, *requests, seed=seed)]
    alone = [answers_of(kind, request, seed=seed)[0].text for request in requests]
    wanted = [by_transformers(prompt, 12, seed) for prompt in PROMPTS]
    assert together == alone == wanted


def test_rows_end_at_their_own_length_and_do_not_disturb_the_others(kind: Kind) -> None:
    lengths = [1, 9, 4, 6]
    requests = [GenerationRequest(prompt, count) for prompt, count in zip(PROMPTS, lengths, strict=True)]
    answers = answers_of(kind, *requests)
    assert [answer.tokens for answer in answers] == lengths
    wanted = [by_transformers(prompt, count) for prompt, count in zip(PROMPTS, lengths, strict=True)]
    assert [answer.text for answer in answers] == wanted


def test_the_end_token_ends_the_answer_and_is_not_part_of_its_text(kind: Kind) -> None:
    model = make_model()
    first = model(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].argmax().item()
    (answer,) = generate(kind(model, TOKENIZER, {first}), [GenerationRequest(PROMPTS[0], 9)])
    assert (answer.text, answer.tokens, answer.finish_reason, answer.ended) == ("", 1, "stop", True)


def test_length_is_told_from_stop(kind: Kind) -> None:
    (answer,) = answers_of(kind, GenerationRequest(PROMPTS[0], 3))
    assert (answer.finish_reason, answer.ended, answer.tokens) == ("length", False, 3)


def test_a_stop_text_ends_the_answer_before_it(kind: Kind) -> None:
    (free,) = answers_of(kind, GenerationRequest(PROMPTS[1], 12))
    stop = free.text[2:4]
    (answer,) = answers_of(kind, GenerationRequest(PROMPTS[1], 12, stop=(stop,)))
    assert answer.text == free.text[: free.text.index(stop)]
    assert answer.finish_reason == "stop"
    assert not answer.ended
    assert answer.tokens < free.tokens


def test_equal_seeds_give_equal_samples_whoever_is_beside_them(kind: Kind) -> None:
    request = GenerationRequest(PROMPTS[0], 10, temperature=1.5, seed=7)
    (alone,) = answers_of(kind, request)
    beside = answers_of(kind, GenerationRequest(PROMPTS[1], 4, temperature=1.0, seed=1), request)[1]
    other = answers_of(kind, GenerationRequest(PROMPTS[0], 10, temperature=1.5, seed=8))[0]
    assert alone.text == beside.text
    assert alone.text != other.text


@pytest.mark.parametrize("temperature", [1e-6, 1e-40, 5e-324])
def test_the_coldest_dice_are_greedy_and_disturb_nobody(kind: Kind, temperature: float) -> None:
    warm, other = GenerationRequest(PROMPTS[0], 8, temperature=temperature), GenerationRequest(PROMPTS[1], 8)
    greedy = GenerationRequest(PROMPTS[0], 8)
    assert answers_of(kind, warm, other) == answers_of(kind, greedy, other)


def test_a_tiny_nucleus_is_greedy(kind: Kind) -> None:
    (greedy,) = answers_of(kind, GenerationRequest(PROMPTS[0], 8))
    (sampled,) = answers_of(kind, GenerationRequest(PROMPTS[0], 8, temperature=3.0, top_p=1e-6))
    assert sampled.text == greedy.text


def test_the_context_is_the_models_own(kind: Kind) -> None:
    decoder: Decoder = kind(make_model(), TOKENIZER, STOPS)
    assert decoder.context == 256
