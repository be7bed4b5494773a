"""The formulas, against figures that were measured or are published."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ift_sagemaker.plan.quantities import GIB, Range
from ift_sagemaker.plan.workload import (
    ModelShape,
    Training,
    adapter_parameters,
    flops_per_token,
    memory,
    trained_parameters,
)
from tests.unit.plan.workloads import SMOLLM2, TRAINING


def test_the_shape_is_that_of_the_configuration() -> None:
    assert (SMOLLM2.layers, SMOLLM2.hidden, SMOLLM2.inner, SMOLLM2.kv_width) == (30, 576, 1536, 192)
    assert SMOLLM2.stated


@pytest.mark.parametrize("config", [{}, {"hidden_size": "x"}, {"num_hidden_layers": 2, "hidden_size": None}])
def test_a_configuration_that_says_nothing_gives_the_usual_shape(config: dict[str, object]) -> None:
    shape = ModelShape.of_config(8_030_000_000, config)
    assert not shape.stated
    assert 28 <= shape.layers <= 40, "Llama 3.1 8B has 32"
    assert 3500 <= shape.hidden <= 5000, "Llama 3.1 8B has 4096"


def test_adapters_of_rank_16_on_smollm2_have_as_many_weights_as_peft_makes() -> None:
    assert adapter_parameters(SMOLLM2, 16) == 4_884_480


def test_lora_costs_two_thirds_of_full_fine_tuning_and_checkpointing_a_forward_pass_more() -> None:
    full = flops_per_token(SMOLLM2, Training(method="full"), 0)
    lora = flops_per_token(SMOLLM2, Training(method="lora"), 0)
    again = flops_per_token(SMOLLM2, Training(method="full", checkpointing=True), 0)
    assert full == 6 * SMOLLM2.parameters
    assert lora == pytest.approx(4 * SMOLLM2.parameters + 6 * 4_884_480)
    assert again == 8 * SMOLLM2.parameters


def test_work_of_a_token_agrees_with_the_profile_of_a_real_run() -> None:
    """0.50 GFLOP a token were profiled: SmolLM2, LoRA, rows of 210 tokens, the head on trained tokens alone.

    The formula has the head on every token and whole attention, so it may only be a little above.
    """
    assert 0.50e9 <= flops_per_token(SMOLLM2, Training(), 210) <= 0.65e9


def test_memory_of_a_real_run_lies_within_the_range() -> None:
    """Peak RSS was 4.0 to 4.2 GiB on a processor: SmolLM2, LoRA, bfloat16, 4 rows of up to 512 tokens."""
    training = replace(TRAINING, dtype="bfloat16", max_length=512)
    total = memory(SMOLLM2, training, Range(210, 430, 512) * 4, accelerated=False).total
    assert total.low < 4.0 * GIB
    assert total.high > 4.2 * GIB
    assert total.likely / GIB == pytest.approx(4.1, rel=0.35)


def test_full_fine_tuning_keeps_sixteen_bytes_a_weight() -> None:
    need = memory(SMOLLM2, Training(method="full"), Range(1, 1, 1), accelerated=True)
    assert need.weights.low + need.gradients.high + need.optimizer.high == 16 * SMOLLM2.parameters


def test_weights_take_less_the_more_they_are_quantised() -> None:
    def weights(method: str, dtype: str = "auto") -> float:
        shape = ModelShape.of_size(7_000_000_000)
        training = Training(method=method, dtype=dtype)
        return memory(shape, training, Range(1, 1, 1), accelerated=True).weights.likely

    assert weights("qlora") < 0.5 * weights("lora") < 0.5 * weights("lora", "float32")


def test_checkpointing_takes_less_than_half_of_the_activations() -> None:
    tokens = Range(2000, 2000, 2000)
    whole = memory(SMOLLM2, TRAINING, tokens, accelerated=True).activations.likely
    again = memory(
        SMOLLM2, replace(TRAINING, checkpointing=True), tokens, accelerated=True
    ).activations.likely
    assert again < whole / 2


def test_adapters_alone_learn_with_lora() -> None:
    assert trained_parameters(SMOLLM2, Training(method="full")) == SMOLLM2.parameters
    assert trained_parameters(SMOLLM2, Training(method="qlora", lora_rank=8)) == 4_884_480 // 2
