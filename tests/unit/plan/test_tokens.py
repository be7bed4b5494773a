"""Counts of tokens with their error bars."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker.container.encoding import ConversationEncoder
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.plan.tokens import RowTokens, TokenCount, count_tokens
from ift_sagemaker.wire.rows import to_messages
from tests.unit.container.tiny import make_tokenizer

ROWS = InstructionDataset.from_rows(
    [{"instruction": "word " * (1 + index % 40), "output": "x"} for index in range(2000)]
)


def _words(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    return [len(row["instruction"].split()) + 1 for row in rows]


def test_all_rows_counted_leave_no_doubt() -> None:
    count = count_tokens(ROWS, _words, sample=None)
    assert count.total == count.low == count.high == sum(_words(list(ROWS)))
    assert (count.rows, count.sampled, count.longest, count.counted) == (2000, 2000, 41, True)


def test_the_same_seed_looks_at_the_same_rows() -> None:
    assert count_tokens(ROWS, _words, seed=3) == count_tokens(ROWS, _words, seed=3)
    assert count_tokens(ROWS, _words, seed=3) != count_tokens(ROWS, _words, seed=4)


def test_a_sample_holds_the_truth_within_its_error_bar_about_nineteen_times_in_twenty() -> None:
    truth = sum(_words(list(ROWS)))
    counts = [count_tokens(ROWS, _words, sample=200, seed=seed) for seed in range(60)]
    assert sum(count.low <= truth <= count.high for count in counts) >= 53
    assert all(count.high - count.low < 0.25 * truth for count in counts)


def test_only_the_sample_and_the_longest_row_are_counted() -> None:
    asked: list[object] = []

    def counting(rows: Sequence[Mapping[str, Any]]) -> list[int]:
        asked.extend(rows)
        return [1] * len(rows)

    count_tokens(ROWS, counting, sample=50)
    assert len(asked) == 50 + 1, "and the longest row"


def test_the_longest_row_is_counted_though_the_sample_misses_it() -> None:
    rows = [{"instruction": "word", "output": "x"}] * 2000 + [{"instruction": "word " * 300, "output": "x"}]
    for seed in range(5):
        assert count_tokens(InstructionDataset.from_rows(rows), _words, sample=10, seed=seed).longest == 301


def test_without_a_tokenizer_the_count_is_called_an_estimate_and_is_wide() -> None:
    count = count_tokens(ROWS)
    assert not count.counted
    assert "estimate: 2.5 to 6 characters a token" in count.how
    assert count.low < 0.6 * count.high


@pytest.mark.parametrize("characters_per_token", [2.8, 4.4, 6.0])
def test_the_estimate_from_characters_holds_what_tokenizers_were_measured_to_give(
    characters_per_token: float,
) -> None:
    lengths = [random.Random(index).randint(100, 900) for index in range(500)]
    count = TokenCount.of_characters(lengths, 500)
    real = sum(length / characters_per_token + 25 for length in lengths)
    assert count.low <= real <= count.high


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=50), st.integers(0, 1_000_000))
def test_every_count_is_ordered_and_never_below_what_was_seen(lengths: list[int], unseen: int) -> None:
    count = TokenCount.of_lengths(lengths, len(lengths) + unseen)
    assert sum(lengths) <= count.low <= count.total <= count.high
    estimated = TokenCount.of_characters(lengths, len(lengths) + unseen)
    assert 0 <= estimated.low <= estimated.total <= estimated.high


def test_the_tokenizer_beside_the_weights_counts_what_the_trainer_trains_on(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    encoder = ConversationEncoder(tokenizer, {tokenizer.eos_token_id})
    truth = sum(len(encoder.row(to_messages(row, ROWS.template)).ids) for row in ROWS)
    exact = RowTokens(tmp_path, exact=True).of(ROWS)
    assert exact.total == exact.low == exact.high == truth
    assert exact.how == "all rows counted by the model's own tokenizer"
    sampled = RowTokens(tmp_path).of(ROWS)
    assert sampled.counted
    assert sampled.low < sampled.total < sampled.high
    assert sampled.total == pytest.approx(truth, rel=0.05)
    assert sampled.how == "1000 of 2000 rows counted by the model's own tokenizer"


def test_what_cannot_be_counted_is_estimated_and_says_why(tmp_path: Path) -> None:
    found = RowTokens(tmp_path).of(ROWS)
    assert not found.counted
    assert "estimate" in found.how
    assert "not counted: " in found.how
    assert "tokenizer.json is not there" in found.how
    make_tokenizer("{{ raise_exception('no such rows') }}").save_pretrained(tmp_path)
    refused = RowTokens(tmp_path).of(ROWS)
    assert not refused.counted
    assert "no such rows" in refused.how


def test_without_a_tokenizer_a_plan_and_the_figures_of_the_data_say_the_same() -> None:
    data = InstructionDataset.from_rows(
        [{"instruction": "word " * n, "output": "an answer"} for n in range(1, 40)]
    )
    planned, told = count_tokens(data, sample=None), data.stats().tokens
    assert told.total == pytest.approx(planned.total, abs=len(data))  # of every row rounded up
    assert (told.low, told.high) == pytest.approx((planned.low, planned.high), abs=1)
