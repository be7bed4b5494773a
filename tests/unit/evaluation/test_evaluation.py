"""Predictions become scores, and scores a verdict."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ift_sagemaker.errors import ConfigError, DataError, GateError
from ift_sagemaker.evaluation import Evaluation
from ift_sagemaker.evaluation.gate import Requirement, check
from ift_sagemaker.evaluation.scoring import exact_match, rouge_l


def _side(prediction: str, loss: float, tokens: int, ended: bool = True) -> dict[str, Any]:
    return {"prediction": prediction, "loss": loss, "tokens": tokens, "ended": ended}


ROWS = [
    {"index": 0, "instruction": "A", "reference": "Positive", "base": _side("The review", 4.0, 1, False),
     "tuned": _side("positive.", 1.0, 1)},
    {"index": 1, "instruction": "A", "reference": "Negative", "base": _side("negative", 2.0, 3),
     "tuned": _side("Negative", 0.0, 3)},
    {"index": 2, "instruction": "B", "reference": "the cat sat", "base": _side("", 3.0, 4),
     "tuned": _side("the dog sat", 1.0, 4)},
]  # fmt: skip


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation.from_predictions(ROWS)


@pytest.mark.parametrize(
    ("prediction", "reference", "same"),
    [("Yes", "yes", True), (" yes.\n", "Yes", True), ("a  b", "a b", True), ("yes!", "yes", False),
     ("yes yes", "yes", False), ("ÄRGER", "ärger", True), ("", "yes", False)],
)  # fmt: skip
def test_exact_match_forgives_case_blanks_and_one_full_stop(
    prediction: str, reference: str, same: bool
) -> None:
    assert exact_match(prediction, reference) is same


@pytest.mark.parametrize(
    ("prediction", "reference", "score"),
    [
        ("the cat sat", "the cat sat", 1.0),
        ("the dog sat", "the cat sat", 2 / 3),
        ("police killed the gunman", "police kill the gunman", 0.75),
        ("the gunman police killed", "police killed the gunman", 0.5),
        ("", "word", 0.0),
        ("", "", 1.0),
        ("Word!", "word", 1.0),
    ],
)
def test_rouge_l_is_the_f1_of_the_longest_common_subsequence(
    prediction: str, reference: str, score: float
) -> None:
    assert rouge_l(prediction, reference) == pytest.approx(score)


def test_scores_are_means_and_the_loss_is_weighted_by_tokens(evaluation: Evaluation) -> None:
    assert evaluation.base.exact_match == pytest.approx(1 / 3)
    assert evaluation.tuned.exact_match == pytest.approx(2 / 3)
    assert evaluation.base.loss == pytest.approx((4 + 6 + 12) / 8)
    assert evaluation.tuned.loss == pytest.approx((1 + 0 + 4) / 8)
    assert evaluation.base.ended == pytest.approx(2 / 3)


def test_every_instruction_has_scores_of_its_own(evaluation: Evaluation) -> None:
    assert evaluation.tuned.by_instruction["A"].exact_match == 1.0
    assert evaluation.tuned.by_instruction["B"].exact_match == 0.0
    assert evaluation.tuned.by_instruction["A"].count == 2


def test_the_dictionary_has_both_sides_with_all_figures(evaluation: Evaluation) -> None:
    plain = evaluation.to_dict()
    assert set(plain) == {"base", "tuned"}
    assert {"exact_match", "rouge_l", "loss", "by_instruction", "count"} <= set(plain["tuned"])
    assert "by_instruction" not in plain["tuned"]["by_instruction"]["A"]


def test_rows_without_instructions_are_scored_all_the_same() -> None:
    rows = [{**row, "instruction": None} for row in ROWS]
    assert Evaluation.from_predictions(rows).to_dict()["tuned"]["by_instruction"] == {}


def test_the_table_shows_both_sides_of_each_instruction(evaluation: Evaluation) -> None:
    frame = evaluation.to_frame()
    assert frame.index.tolist() == ["all", "A", "B"]
    assert frame.loc["A", "exact_match_tuned"] == 1.0
    assert "0.33 → 0.67" in str(evaluation)
    assert "<table" in evaluation._repr_html_()


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(DataError):
        Evaluation.from_predictions([])


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("exact_match>=0.66", True),
        ("exact_match > 0.67", False),
        ("loss<1", True),
        ("exact_match[A]>=1", True),
        ("exact_match[B]>=0.1", False),
    ],
)
def test_a_requirement_is_held_against_the_tuned_model(
    text: str, holds: bool, evaluation: Evaluation
) -> None:
    assert Requirement.parse(text).holds(evaluation) is holds


def test_a_gate_names_all_that_is_missed_with_the_figure(evaluation: Evaluation) -> None:
    requirements = [Requirement.parse(text) for text in ("exact_match>=0.9", "loss<0.1", "rouge_l>0")]
    with pytest.raises(GateError, match=r"0\.6667") as caught:
        check(evaluation, requirements)
    assert len(caught.value.missed) == 2
    check(evaluation, requirements[2:])


@pytest.mark.parametrize("text", ["", "exact_match", "accuracy>=1", "exact_match=0.5", "loss<abc", "loss<1e"])
def test_nonsense_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ConfigError, match="METRIC"):
        Requirement.parse(text)


def test_an_instruction_that_no_row_has_is_refused(evaluation: Evaluation) -> None:
    with pytest.raises(ConfigError, match="A; B"):
        Requirement.parse("exact_match[C]>=0.5").holds(evaluation)


def test_a_figure_that_is_not_a_number_never_passes() -> None:
    rows = [{**row, "tuned": _side("x", math.nan, 1)} for row in ROWS]
    assert not Requirement.parse("loss<100").holds(Evaluation.from_predictions(rows))
