from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker.evaluation.text_metrics import is_exact_match, longest_common_subsequence, rouge_l

TOKENS = st.lists(st.sampled_from("abc"), max_size=7)


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("Positive", "positive"),
        ("  positive.\n", "Positive"),
        ("positive .", "positive"),
        ("STRASSE", "straße"),
    ],
)
def test_case_space_and_one_full_stop_do_not_count(prediction: str, reference: str) -> None:
    assert is_exact_match(prediction, reference)


@pytest.mark.parametrize(
    ("prediction", "reference"), [("positive!", "positive"), ("a  b", "a b"), ("yes..", "yes"), ("", "a")]
)
def test_everything_else_counts(prediction: str, reference: str) -> None:
    assert not is_exact_match(prediction, reference)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("police killed the gunman", "police kill the gunman", 0.75),
        ("the gunman kill police", "police kill the gunman", 0.5),
        ("The cat!", "the cat", 1.0),
        ("a b c d", "a d", 2 * 1.0 * 0.5 / 1.5),
        ("", "a", 0.0),
        ("...", "...", 0.0),
        ("x", "y", 0.0),
    ],
)
def test_rouge_l_is_the_f1_of_the_common_subsequence(
    prediction: str, reference: str, expected: float
) -> None:
    assert rouge_l(prediction, reference) == pytest.approx(expected)


@given(TOKENS, TOKENS)
def test_the_common_subsequence_is_as_long_as_trying_all_says(one: list[str], other: list[str]) -> None:
    def subsequences(tokens: list[str]) -> set[tuple[str, ...]]:
        return {kept for size in range(len(tokens) + 1) for kept in combinations(tokens, size)}

    expected = max(len(kept) for kept in subsequences(one) & subsequences(other))
    assert longest_common_subsequence(one, other) == expected
    assert longest_common_subsequence(other, one) == expected


@given(st.text(max_size=30), st.text(max_size=30))
def test_rouge_l_is_a_share_and_symmetric(one: str, other: str) -> None:
    assert 0 <= rouge_l(one, other) <= 1
    assert rouge_l(one, other) == rouge_l(other, one)
