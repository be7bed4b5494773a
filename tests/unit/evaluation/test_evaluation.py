from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

import ift_sagemaker
from ift_sagemaker.errors import DataError
from ift_sagemaker.evaluation import Evaluation
from ift_sagemaker.report import evaluation_table, to_text
from tests.unit.evaluation.rows import prediction

ROWS = [
    prediction("good", "well", "good", instruction="Classify", losses=(4.0, 1.0)),
    prediction("bad", "Bad.", "bad", instruction="Classify", losses=(4.0, 1.0)),
    prediction("one two three four", "one", "one two", instruction="Count", losses=(1.0, 0.5)),
]


def test_it_is_public_at_the_top_of_the_package() -> None:
    assert getattr(ift_sagemaker, "Evaluation") is Evaluation  # noqa: B009 - lazy export


def test_base_and_tuned_are_scored_on_the_same_rows() -> None:
    result = Evaluation.from_predictions(ROWS)
    assert (result.base.count, result.tuned.count) == (3, 3)
    assert result.base.exact_match == pytest.approx(1 / 3)
    assert result.tuned.exact_match == pytest.approx(2 / 3)
    assert result.tuned.rouge_l == pytest.approx((1 + 1 + 2 * 2 / 6) / 3)


def test_the_loss_is_weighted_by_tokens() -> None:
    result = Evaluation.from_predictions(ROWS)
    assert result.base.loss == pytest.approx((4 + 4 + 1 * 4) / 6)
    assert result.tuned.loss == pytest.approx((1 + 1 + 0.5 * 4) / 6)


def test_each_instruction_has_scores_of_its_own() -> None:
    parts = Evaluation.from_predictions(ROWS).tuned.by_instruction
    assert list(parts) == ["Classify", "Count"]
    assert (parts["Classify"].exact_match, parts["Count"].exact_match) == (1.0, 0.0)
    assert parts["Count"].by_instruction == {}


def test_rows_without_an_instruction_count_in_the_whole_only() -> None:
    result = Evaluation.from_predictions([prediction("a", "a", "a"), *ROWS])
    assert result.tuned.count == 4
    assert set(result.tuned.by_instruction) == {"Classify", "Count"}


def test_answers_cut_off_at_the_limit_lower_the_share_that_ended() -> None:
    cut = prediction("a", "a", "a")
    cut["tuned"]["ended"] = False
    result = Evaluation.from_predictions([cut, ROWS[0]])
    assert (result.base.ended, result.tuned.ended) == (1.0, 0.5)


def test_without_tokens_there_is_no_loss() -> None:
    assert Evaluation.from_predictions([prediction("", "a", "")]).base.loss is None


def test_its_plain_form_holds_the_figures_and_not_the_rows() -> None:
    value = json.loads(json.dumps(Evaluation.from_predictions(ROWS).to_dict()))
    assert set(value) == {"base", "tuned"}
    assert set(value["tuned"]) == {"exact_match", "rouge_l", "loss", "ended", "count", "by_instruction"}
    assert value["tuned"]["by_instruction"]["Classify"]["exact_match"] == 1.0
    assert "by_instruction" not in value["tuned"]["by_instruction"]["Classify"]


def test_its_frame_has_a_row_for_all_and_one_for_each_instruction() -> None:
    frame = Evaluation.from_predictions(ROWS).to_frame()
    assert list(frame.index) == ["(all)", "Classify", "Count"]
    assert list(frame["count"]) == [3, 2, 1]
    assert frame["exact_match_tuned"]["Classify"] == 1.0


def test_it_prints_base_beside_tuned() -> None:
    lines = str(Evaluation.from_predictions(ROWS)).splitlines()
    assert lines[0].split() == ["base", "→", "tuned", "rows", "exact_match", "rouge_l", "loss"]
    assert lines[1].split()[:5] == ["(all)", "3", "0.333", "→", "0.667"]
    assert "<table" in Evaluation.from_predictions(ROWS)._repr_html_()


def test_no_predictions_are_an_error() -> None:
    with pytest.raises(DataError, match="no predictions"):
        Evaluation.from_predictions([])


@pytest.mark.parametrize("damage", ["reference", "base", "tuned"])
def test_a_row_that_lacks_something_is_named(damage: str) -> None:
    broken = {name: value for name, value in ROWS[0].items() if name != damage}
    with pytest.raises(DataError, match=f"prediction 2 .*{damage}"):
        Evaluation.from_predictions([ROWS[1], broken])


def test_importing_the_room_imports_no_pandas() -> None:
    code = "import sys, ift_sagemaker.evaluation; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_stand_in_is_named_wherever_the_figures_are_shown() -> None:
    said = "stand-in: tiny trained in place of llama"
    result = replace(Evaluation.from_predictions(ROWS), stand_in=said)
    assert str(result).startswith(said)
    assert said in result._repr_html_()
    assert result.to_dict()["stand_in"] == said
    assert said in to_text(evaluation_table(result))
    assert "stand_in" not in Evaluation.from_predictions(ROWS).to_dict()
