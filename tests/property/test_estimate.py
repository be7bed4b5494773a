"""Estimates of any run: ordered, finite, and never less for more work."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker.plan.estimate import Estimate
from ift_sagemaker.plan.quantities import Range
from ift_sagemaker.plan.tokens import TokenCount
from ift_sagemaker.plan.workload import Training
from tests.unit.plan.workloads import found, of_size

SIZES = st.integers(1_000, 1_000_000_000_000)
TYPES = st.sampled_from(["ml.g4dn.xlarge", "ml.g5.2xlarge", "ml.g6e.xlarge", "ml.p5.4xlarge", "ml.m5.xlarge"])
TRAININGS = st.builds(
    Training,
    method=st.sampled_from(["full", "lora", "qlora"]),
    epochs=st.integers(1, 1000),
    steps=st.just(0) | st.integers(1, 100_000),
    rows_per_pass=st.integers(1, 1024),
    passes_per_step=st.integers(1, 1024),
    max_length=st.integers(16, 131_072),
    lora_rank=st.integers(1, 512),
    checkpointing=st.booleans(),
    dtype=st.sampled_from(["auto", "bfloat16", "float32"]),
    validation_share=st.floats(0, 0.5),
)


@st.composite
def _counts(draw: st.DrawFn) -> TokenCount:
    lengths = draw(st.lists(st.integers(0, 200_000), min_size=1, max_size=20))
    return draw(st.sampled_from([TokenCount.of_lengths, TokenCount.of_characters]))(
        lengths, len(lengths) + draw(st.integers(0, 10_000_000))
    )


def _ranges(outlook: Estimate) -> list[Range | None]:
    return [
        outlook.flops,
        outlook.memory.total,
        outlook.disk,
        outlook.training_seconds,
        outlook.billable_seconds,
        outlook.usd,
        outlook.spot_usd,
    ]


def _never_less(more: list[Range | None], less: list[Range | None]) -> None:
    for bigger, smaller in zip(more, less, strict=True):
        assert (bigger is None) == (smaller is None)
        if bigger is not None and smaller is not None:
            slack = 1e-9 * smaller.high + 0.005
            assert bigger.low >= smaller.low - slack
            assert bigger.likely >= smaller.likely - slack
            assert bigger.high >= smaller.high - slack


@given(SIZES, TRAININGS, _counts(), TYPES)
def test_low_likely_and_high_are_in_order_for_any_run(
    size: int, training: Training, tokens: TokenCount, name: str
) -> None:
    outlook = found(of_size(size), training, tokens, instance_type=name)
    for value in _ranges(outlook):
        assert value is None or 0 <= value.low <= value.likely <= value.high
    assert str(outlook)


@given(SIZES, TRAININGS, _counts(), TYPES)
def test_more_epochs_never_take_less(size: int, training: Training, tokens: TokenCount, name: str) -> None:
    less = found(of_size(size), training, tokens, instance_type=name)
    longer = replace(training, epochs=training.epochs + 1)
    _never_less(_ranges(found(of_size(size), longer, tokens, instance_type=name)), _ranges(less))


@given(
    SIZES, TRAININGS, st.lists(st.integers(0, 50_000), min_size=1, max_size=20), st.integers(0, 10_000), TYPES
)
def test_more_tokens_a_row_never_take_less(
    size: int, training: Training, lengths: list[int], more: int, name: str
) -> None:
    short = TokenCount.of_lengths(lengths, len(lengths))
    long = TokenCount.of_lengths([length + more for length in lengths], len(lengths))
    less = found(of_size(size), training, short, instance_type=name)
    _never_less(_ranges(found(of_size(size), training, long, instance_type=name)), _ranges(less))


@given(st.integers(10_000_000, 500_000_000_000), TRAININGS, _counts(), TYPES)
def test_twice_the_parameters_never_take_less(
    size: int, training: Training, tokens: TokenCount, name: str
) -> None:
    less = found(of_size(size), training, tokens, instance_type=name)
    more = found(of_size(2 * size), training, tokens, instance_type=name)
    _never_less(
        [more.flops, more.memory.total, more.training_seconds, more.usd],
        [less.flops, less.memory.total, less.training_seconds, less.usd],
    )
