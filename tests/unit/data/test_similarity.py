"""Near duplicates are told by the share of words in a row that texts have in common."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker.data.likeness.similarity import are_likely, jaccard, jaccards, shingled, signatures
from ift_sagemaker.data.likeness.words import TextBatch


def _alike(one: str, other: str) -> float:
    sets = shingled([one, other])
    return jaccard(sets.of(0), sets.of(1))


def test_likeness_is_the_share_of_shingles_in_common() -> None:
    assert _alike("a b c d e", "a b c d e") == 1
    assert _alike("a b c d e", "a b c d x") == 2 / 4
    assert _alike("a b c d e", "v w x y z") == 0
    assert _alike("", "") == 0


def test_texts_of_one_or_two_words_are_alike_only_where_they_are_equal() -> None:
    assert _alike("yes", "Yes!") == 1
    assert _alike("a b", "a b") == 1
    assert _alike("a b", "b a") == 0
    assert _alike("a", "a a") == 0


def test_case_and_punctuation_make_no_difference() -> None:
    sets = shingled(["Where IS it, now?", "where is it now"])
    assert np.array_equal(sets.of(0), sets.of(1))


def test_writing_without_blanks_is_compared_by_characters() -> None:
    assert _alike("今日はとても天気がいいです", "今日はとても天気がいいでした") > 0.7
    assert _alike("今日はとても天気", "明日雨が降る") == 0


def test_a_text_has_the_same_shingles_whatever_stands_beside_it() -> None:
    texts = ["one two three four", "", "five", "six seven", "!!", "one two three four five"]
    together = shingled(texts)
    for place, text in enumerate(texts):
        assert np.array_equal(together.of(place), shingled([text]).of(0))


def test_signatures_are_the_same_whatever_stands_beside_a_text() -> None:
    chance = random.Random(5)
    texts = [" ".join(chance.choices("abcdefghij", k=chance.choice((0, 3, 40, 30_000)))) for _ in range(12)]
    keys, sketches = signatures(shingled(texts))
    for place, text in enumerate(texts):
        own_keys, own_sketches = signatures(shingled([text]))
        assert np.array_equal(own_keys[0], keys[place])
        assert own_sketches[0] == sketches[place]


def test_sketches_rule_out_most_pairs_that_share_little_and_none_that_share_much() -> None:
    chance = random.Random(1)
    words = [f"w{number}" for number in range(3000)]
    originals = [chance.choices(words, k=60) for _ in range(300)]
    edited = [[*words_[:-3], "x", "y", "z"] for words_ in originals]
    _, one = signatures(shingled([" ".join(words_) for words_ in originals]))
    _, two = signatures(shingled([" ".join(words_) for words_ in edited]))
    assert are_likely(one, two).mean() > 0.99
    assert are_likely(one, np.roll(two, 1)).mean() < 0.01


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), min_size=1, max_size=8))
def test_pairs_measured_at_once_are_as_alike_as_one_by_one(pairs: list[tuple[str, str]]) -> None:
    ones, others = (shingled(texts) for texts in zip(*pairs, strict=True))
    expected = [jaccard(ones.of(place), others.of(place)) for place in range(len(pairs))]
    assert jaccards(ones, others).tolist() == pytest.approx(expected)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=6))
def test_any_text_has_as_many_words_alone_as_among_others(texts: list[str]) -> None:
    together = np.diff(TextBatch(texts).word_bounds).tolist()
    assert together == [len(TextBatch([text]).words) for text in texts]
