from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker.container.batching import (
    StepBatches,
    collate,
    plan_steps,
    split_by_length,
    steps_per_epoch,
)
from tests.unit.container.tiny import encoded

PAIRS = [("a", "green"), ("Name the colour of grass.", "green"), ("two", "What is two and two? four")]


@given(rows=st.integers(1, 40), per_step=st.integers(1, 9), epochs=st.integers(1, 3), seed=st.integers(0, 99))
def test_an_epoch_sees_every_row_once(rows: int, per_step: int, epochs: int, seed: int) -> None:
    each = steps_per_epoch(rows, per_step)
    steps = plan_steps(rows, per_step, epochs * each, seed)
    for epoch in range(epochs):
        seen = sorted(chain.from_iterable(steps[epoch * each : (epoch + 1) * each]))
        assert seen == list(range(rows))


def test_the_order_depends_on_seed_and_epoch() -> None:
    first, second = plan_steps(50, 50, 2, seed=1)
    assert first != second
    assert first != plan_steps(50, 50, 1, seed=2)[0]
    assert [first, second] == plan_steps(50, 50, 2, seed=1)


@given(
    lengths=st.lists(st.integers(2, 500), min_size=1, max_size=12),
    most=st.integers(1, 8),
    cost=st.integers(0, 300),
)
def test_passes_hold_every_row_once_and_are_never_dearer_than_cutting_in_order(
    lengths: list[int], most: int, cost: int
) -> None:
    def price(groups: list[list[int]]) -> int:
        return sum(max(lengths[place] for place in group) * len(group) + cost for group in groups)

    passes = split_by_length(lengths, most, cost)
    assert sorted(chain.from_iterable(passes)) == list(range(len(lengths)))
    assert all(len(group) <= most for group in passes)
    plain = [list(range(start, min(start + most, len(lengths)))) for start in range(0, len(lengths), most)]
    assert price(passes) <= price(plain)


def test_rows_of_like_length_share_a_pass() -> None:
    assert split_by_length([400, 10, 390, 12], 4, 48) == [[0, 2], [3, 1]]


def test_targets_are_where_the_row_predicts_them() -> None:
    rows = encoded(PAIRS)
    batch = collate(rows)
    wanted = [
        (number, row.ids[place - 1], row.ids[place])
        for number, row in enumerate(rows)
        for start, end in row.trained
        for place in range(start, end)
    ]
    inputs = batch["input_ids"].flatten()[batch["positions"]]
    found = zip(batch["owners"].tolist(), inputs.tolist(), batch["targets"].tolist(), strict=True)
    assert list(found) == wanted


def test_a_step_counts_real_tokens_and_targets() -> None:
    rows = encoded(PAIRS)
    step = StepBatches(rows, [[0, 1, 2]], rows_per_pass=2, pass_cost=0)[0]
    assert step["tokens"] == sum(len(row.ids) for row in rows)
    assert step["targets"] == sum(len(batch["targets"]) for batch in step["passes"])


def test_nothing_is_masked_by_token_id() -> None:
    batch = collate(encoded([("a", "b")]))
    assert batch["targets"][-1] == 2
    assert isinstance(batch["targets"], torch.Tensor)


@pytest.mark.parametrize("total", [1, 5, 7])
def test_max_steps_cuts_or_repeats_epochs(total: int) -> None:
    assert len(plan_steps(9, 4, total, seed=0)) == total
