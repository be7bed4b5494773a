from __future__ import annotations

import pytest

from ift_sagemaker.errors import ConfigError, GateError
from ift_sagemaker.evaluation import Evaluation, Requirement, check
from tests.unit.evaluation.rows import prediction

EVALUATION = Evaluation.from_predictions(
    [
        prediction("good", "x", "good", instruction="Classify [all] >=", losses=(2.0, 1.0)),
        prediction("bad", "x", "x", instruction="Classify", losses=(2.0, 1.0)),
    ]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exact_match>=0.7", Requirement("exact_match", ">=", 0.7)),
        (" rouge_l > 0 ", Requirement("rouge_l", ">", 0.0)),
        ("loss<1.5", Requirement("loss", "<", 1.5)),
        ("LOSS<=2e-1", Requirement("loss", "<=", 0.2)),
        ("exact_match[Classify]>=1", Requirement("exact_match", ">=", 1.0, "Classify")),
        ("loss[Classify [all] >=]<=3", Requirement("loss", "<=", 3.0, "Classify [all] >=")),
    ],
)
def test_a_requirement_is_read(text: str, expected: Requirement) -> None:
    assert Requirement.parse(text) == expected


@pytest.mark.parametrize("text", ["exact_match>=0.7", "loss<1.5", "rouge_l[a b]>0.25"])
def test_a_requirement_is_written_as_it_is_read(text: str) -> None:
    assert str(Requirement.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no requirement"),
        ("exact_match", "is no requirement"),
        ("exact_match=0.7", "is no requirement"),
        ("0.7<=exact_match", "is no requirement"),
        ("exact_match>=", "is no requirement"),
        ("exact_match[]>=0.7", "is no requirement"),
        ("accuracy>=0.7", "no metric 'accuracy'; there are exact_match, rouge_l, loss"),
        ("exact_match>=70%", "not a number from 0 to 1"),
        ("exact_match>=70", "not a number from 0 to 1"),
        ("exact_match>=nan", "not a number from 0 to 1"),
        ("loss<=inf", "not a finite number"),
    ],
)
def test_nonsense_is_told_how_it_is_spelt(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason.replace("[", r"\[")):
        Requirement.parse(text)


def test_requirements_that_are_met_pass() -> None:
    check(EVALUATION, [Requirement.parse("exact_match>=0.5"), Requirement.parse("loss<=1")])


@pytest.mark.parametrize(("sign", "met"), [(">=", True), ("<=", True), (">", False), ("<", False)])
def test_the_limit_itself_belongs_to_the_signs_with_equals(sign: str, met: bool) -> None:
    assert (Requirement("exact_match", sign, 0.5).missed_by(EVALUATION) is None) == met


def test_every_missed_requirement_is_listed_with_its_figure() -> None:
    requirements = [Requirement.parse(text) for text in ("exact_match>=0.7", "rouge_l>=0.1", "loss<0.5")]
    with pytest.raises(GateError, match="gate said no") as caught:
        check(EVALUATION, requirements)
    assert caught.value.missed == (
        "exact_match>=0.7: it is 0.5 over 2 rows",
        "loss<0.5: it is 1 over 2 rows",
    )
    assert all(text in str(caught.value) for text in caught.value.missed)


def test_a_requirement_can_look_at_one_instruction() -> None:
    check(EVALUATION, [Requirement("exact_match", ">=", 1.0, "Classify [all] >=")])
    with pytest.raises(GateError, match="0 over 1 rows"):
        check(EVALUATION, [Requirement("exact_match", ">=", 1.0, "Classify")])


def test_an_instruction_that_no_row_has_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="no row has that instruction; there are 'Classify"):
        check(EVALUATION, [Requirement("exact_match", ">=", 1.0, "Translate")])


def test_a_figure_that_does_not_exist_is_missed() -> None:
    empty = Evaluation.from_predictions([prediction("", "a", "")])
    with pytest.raises(GateError, match="no figure"):
        check(empty, [Requirement.parse("loss<=9")])
