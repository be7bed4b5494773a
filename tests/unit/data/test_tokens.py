"""Tokens are counted as the tokenizer counts them; what is estimated or drawn is said to be."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ift_sagemaker.data import InstructionDataset, ModelTokenizer, TokenCounter
from ift_sagemaker.data.tokens.packing import pack
from ift_sagemaker.errors import ConfigError
from tests.unit.data.tiny_tokenizer import save_tokenizer

WORDS = ["colour", "of", "grass", "green", "what", "is", "two"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ModelTokenizer:
    return ModelTokenizer(save_tokenizer(tmp_path_factory.mktemp("tiny")))


def _data(count: int, longest: int = 40) -> InstructionDataset:
    rng = random.Random(0)
    return InstructionDataset.from_rows(
        {"instruction": " ".join(rng.choices(WORDS, k=rng.randint(1, longest))), "output": rng.choice(WORDS)}
        for _ in range(count)
    )


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), max_size=5))
def test_a_count_is_the_tokenizers_own(tokenizer: ModelTokenizer, texts: list[str]) -> None:
    own = Tokenizer.from_file(f"{tokenizer.path}/tokenizer.json")
    counts = TokenCounter(tokenizer).count(texts)
    assert counts == [len(own.encode(text, add_special_tokens=False).ids) for text in texts]


def test_an_estimate_is_four_characters_a_token_and_says_so() -> None:
    counter = TokenCounter()
    assert counter.count(["", "a", "a" * 4, "a" * 5]) == [0, 1, 1, 2]
    assert not counter.exact
    assert counter.name.startswith("estimate: 4 characters a token")
    stats = _data(10).stats()
    assert (stats.tokens.by, stats.tokens.error) == (counter.name, None)
    assert stats.tokens.low < stats.tokens.total < stats.tokens.high


def test_all_rows_are_counted_on_request_and_where_there_are_few(tokenizer: ModelTokenizer) -> None:
    for stats in (_data(2500).stats(tokenizer, exact=True), _data(100).stats(tokenizer)):
        assert (stats.tokens.error, stats.tokens.counted) == (0, stats.rows)


def test_the_total_of_a_sample_is_within_its_error_of_the_exact_one(tokenizer: ModelTokenizer) -> None:
    data = _data(6000)
    exact = data.stats(tokenizer, exact=True).tokens.total
    for seed in range(5):
        tokens = data.stats(tokenizer, seed=seed).tokens
        assert tokens.counted == 2000
        assert tokens.error
        assert abs(tokens.total - exact) <= 1.5 * tokens.error < 0.02 * exact


def test_the_same_seed_draws_the_same_rows(tokenizer: ModelTokenizer) -> None:
    data = _data(2100)
    assert data.stats(tokenizer, seed=3) == data.stats(tokenizer, seed=3)
    assert data.stats(tokenizer, seed=3).tokens.total != data.stats(tokenizer, seed=4).tokens.total


def test_rows_over_the_length_are_named_by_their_lines_and_not_packed(tokenizer: ModelTokenizer) -> None:
    rows = [{"instruction": "two " * (90 if n in (3, 8) else 2), "output": "four"} for n in range(10)]
    packing = InstructionDataset.from_rows(rows).stats(tokenizer, max_length=64).tokens.packing
    assert (packing.over_long, packing.over_long_lines) == (2, (4, 9))
    assert 1 <= packing.sequences < 8


def test_columns_are_counted_by_the_rows_that_fill_them() -> None:
    rows = [{"instruction": "a", "input": "b" if n else "", "output": "c"} for n in range(3)]
    stats = InstructionDataset.from_rows(rows).stats()
    assert stats.columns == {"instruction": 3, "input": 2, "output": 3}
    assert stats.characters == 3 * 2 + 2 * 3


def test_the_histogram_has_every_row_once(tokenizer: ModelTokenizer) -> None:
    histogram = _data(300).stats(tokenizer).tokens.histogram
    assert sum(count for _, _, count in histogram) == 300
    assert len(histogram) <= 13
    assert all(left[1] == right[0] for left, right in pairwise(histogram))


def test_a_length_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 token"):
        _data(3).stats(max_length=0)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), max_size=60))
def test_packing_holds_every_row_in_no_more_than_best_fit_promises(lengths: list[int]) -> None:
    sequences = pack(lengths, 50)
    least = -(-sum(lengths) // 50)
    assert least <= sequences <= len(lengths)
    # the fewest possible are at least `least` and the rows over half a sequence, which share none
    fewest = max(least, sum(length > 25 for length in lengths))
    assert sequences <= 1.5 * fewest + 1


def test_packing_fills_what_fits() -> None:
    assert pack([30, 20, 25, 25, 50, 49, 1], 50) == 4
    assert pack([], 50) == 0
    assert pack([51, 0], 50) == 0
