"""Answers that join and leave at any step are the answers that they would be alone."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from ift_sagemaker.container.generation import GenerationRequest, Growing, generate
from ift_sagemaker.container.rounds import RoundDecoder
from ift_sagemaker.container.slots import FIRST_CAPACITY, MAX_ROWS, PREFILL_TOKENS, SlotDecoder
from tests.unit.container.tiny import make_model, make_tokenizer

TOKENIZER = make_tokenizer()
STOPS = {2}
SMALL = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
MODEL = make_model()


def alone(request: GenerationRequest) -> str:
    return generate(RoundDecoder(MODEL, TOKENIZER, STOPS), [request])[0].text


@settings(deadline=None, max_examples=60)
@given(
    prompts=st.lists(st.lists(st.integers(3, 299), min_size=1, max_size=40), min_size=1, max_size=12),
    arrivals=st.lists(st.integers(0, 12), min_size=12, max_size=12),
    counts=st.lists(st.integers(1, 14), min_size=12, max_size=12),
)
def test_whenever_requests_come_their_greedy_answers_are_those_they_get_alone(
    prompts: list[list[int]], arrivals: list[int], counts: list[int]
) -> None:
    decoder = SlotDecoder(MODEL, TOKENIZER, STOPS)
    rows = [Growing(GenerationRequest(prompt, count)) for prompt, count in zip(prompts, counts, strict=False)]
    coming = deque(sorted(zip(arrivals, range(len(rows)), strict=False)))
    clock = 0
    while coming or decoder.active:
        due = [rows[number].request for arrival, number in coming if arrival <= clock]
        taken = [rows[coming.popleft()[1]] for _ in range(decoder.room(due))]
        decoder.admit(taken)
        decoder.step()
        clock += 1
    assert [row.answer and row.answer.text for row in rows] == [alone(row.request) for row in rows]


def test_an_answer_may_be_as_long_as_the_models_context() -> None:
    longer = LlamaForCausalLM(LlamaConfig(**SMALL, max_position_embeddings=4096)).eval()
    requests = [GenerationRequest([5] * 600, 40), GenerationRequest([7, 8], 300)]
    wanted = [generate(RoundDecoder(longer, TOKENIZER, ()), [request])[0] for request in requests]
    assert generate(SlotDecoder(longer, TOKENIZER, ()), requests) == wanted


def test_prompts_are_read_in_portions_so_that_growing_answers_go_on() -> None:
    decoder = SlotDecoder(MODEL, TOKENIZER, STOPS)
    long = GenerationRequest([5] * 200, 1)
    assert decoder.room([long] * 10) == PREFILL_TOKENS // 200
    assert decoder.room([GenerationRequest([5] * (PREFILL_TOKENS + 1), 1)]) == 1, "one alone is always let in"


def test_a_long_prompt_joins_those_that_grow_and_keeps_nobody_waiting_behind_it() -> None:
    decoder = SlotDecoder(MODEL, TOKENIZER, STOPS)
    decoder.admit([Growing(GenerationRequest([5], 50))])
    long, short = GenerationRequest([5] * (PREFILL_TOKENS + 1), 1), GenerationRequest([5], 1)
    assert decoder.room([long, short]) == 1
    assert decoder.room([short, long]) == 1, "but not beside another"


def test_memory_that_ran_out_while_slots_grew_is_caught_up_on_by_the_next_request() -> None:
    decoder = SlotDecoder(MODEL, TOKENIZER, STOPS)
    row, long = Growing(GenerationRequest([5, 6, 7], 6)), GenerationRequest([9, 8], FIRST_CAPACITY)
    decoder.admit([row])
    with _Memory(tensors=3), pytest.raises(MemoryError):
        decoder.admit([Growing(long)])
    other = Growing(long)
    decoder.admit([other])
    while decoder.active:
        decoder.step()
    assert [grown.answer and grown.answer.text for grown in (row, other)] == [alone(row.request), alone(long)]


class _Memory(TorchFunctionMode):
    """A machine with memory for a few tensors more."""

    def __init__(self, tensors: int) -> None:
        super().__init__()
        self._left = tensors

    def __torch_function__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.zeros:
            self._left -= 1
            if self._left < 0:
                raise MemoryError
        return function(*args, **(kwargs or {}))


def test_no_more_are_let_in_than_there_are_slots_or_memory_for() -> None:
    request = GenerationRequest([5], 50)
    decoder = SlotDecoder(MODEL, TOKENIZER, STOPS)
    assert decoder.room([request] * 100) == MAX_ROWS
    token = 2 * 2 * 2 * 8 * 4  # layers, keys and values, heads, size, bytes
    scarce = SlotDecoder(MODEL, TOKENIZER, STOPS, memory_bytes=4 * FIRST_CAPACITY * token)
    generate(scarce, [request])
    assert scarce.room([request] * 100) == 4
    scarce.admit([Growing(request)] * 3)
    assert scarce.room([request] * 100) == 1
    assert scarce.room([GenerationRequest([5], FIRST_CAPACITY)]) == 0
    scarce.clear()
    assert scarce.room([GenerationRequest([5], 100 * FIRST_CAPACITY)]) == 1, "one alone is always let in"


def test_a_failure_while_reading_leaves_the_others_as_they_were() -> None:
    decoder = SlotDecoder(MODEL, TOKENIZER, STOPS)
    row = Growing(GenerationRequest([5, 6, 7], 6))
    decoder.admit([row])
    with pytest.raises(IndexError):
        decoder.admit([Growing(GenerationRequest([100_000], 6))])
    while decoder.active:
        decoder.step()
    assert row.answer
    assert row.answer.text == alone(row.request)


def test_slots_hold_plain_keys_and_values_and_nothing_else() -> None:
    torch.manual_seed(0)
    assert SlotDecoder.holds(MODEL)
    assert SlotDecoder.holds(GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=4)))
    sliding = MistralForCausalLM(MistralConfig(**SMALL, sliding_window=8))
    assert not SlotDecoder.holds(sliding), "its cache forgets"
    bloom = BloomForCausalLM(BloomConfig(vocab_size=300, hidden_size=32, n_layer=2, n_head=4))
    assert not SlotDecoder.holds(bloom), "it takes no positions"


def test_another_architecture_answers_as_it_does_in_rounds() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=4, n_positions=64)).eval()
    requests = [GenerationRequest([5, 6, 7], 9), GenerationRequest([40], 12), GenerationRequest([9] * 20, 3)]
    assert generate(SlotDecoder(model, TOKENIZER, STOPS), requests) == generate(
        RoundDecoder(model, TOKENIZER, STOPS), requests
    )
