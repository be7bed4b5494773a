"""Real sets become every target that can hold them and come back equal; the others refuse with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.data import TARGETS, InstructionDataset, convert
from ift_sagemaker.data.reading.containers import read_files
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.errors import ConfigError, DatasetError

pytestmark = pytest.mark.data

SETS = {
    "gsm8k_train": 7_473,
    "gsm8k_test": 1_319,
    "reviews_train": 129,
    "self_instruct_seed_tasks": 175,
    "user_oriented_instructions": 252,
}
HOLDING = [name for name, target in TARGETS.items() if "alpaca" in target.writers and name != "bert"]
OTHERS = [name for name, target in TARGETS.items() if "alpaca" not in target.writers]
KEEPING_FIELDS = ("jumpstart-instruction", "alpaca", "dolly")
FIELDS = ("instruction", "input", "output")


def _rows(source: Path) -> list[dict[str, Any]]:
    with source.open("rb") as file:  # a text may have line separators of its own
        return [json.loads(line) for line in file]


def _turns(source: Path) -> list[tuple[str, str]]:
    data = InstructionDataset.read(source)
    return [(data.prompt(row), data.completion(row)) for row in data]


def _instructions(source: Path) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in FIELDS) for row in InstructionDataset.read(source)]


@pytest.mark.parametrize("to", HOLDING)
@pytest.mark.parametrize("name", SETS)
def test_a_real_set_means_the_same_in_every_target_that_can_hold_it(
    data_folder: Path, tmp_path: Path, name: str, to: str
) -> None:
    source = data_folder / f"{name}.jsonl"
    done = convert(source, tmp_path / "out", to=to)
    assert (done.rows, done.warnings) == (SETS[name], ())
    assert _turns(tmp_path / "out") == _turns(source)


@pytest.mark.parametrize("to", HOLDING)
@pytest.mark.parametrize("name", ["gsm8k_train", "gsm8k_test"])
def test_questions_and_answers_come_back_from_every_target_as_they_were(
    data_folder: Path, tmp_path: Path, name: str, to: str
) -> None:
    source = data_folder / f"{name}.jsonl"
    convert(source, tmp_path / "out", to=to)
    convert(tmp_path / "out", tmp_path / "back", to="question-answer")
    assert _rows(tmp_path / "back" / "train.jsonl") == _rows(source)


@pytest.mark.parametrize("to", KEEPING_FIELDS)
@pytest.mark.parametrize("name", ["reviews_train", "self_instruct_seed_tasks", "user_oriented_instructions"])
def test_instructions_and_inputs_come_back_apart_from_targets_that_keep_them_so(
    data_folder: Path, tmp_path: Path, name: str, to: str
) -> None:
    source = data_folder / f"{name}.jsonl"
    convert(source, tmp_path / "out", to=to)
    convert(tmp_path / "out", tmp_path / "back", to="alpaca")
    assert _instructions(tmp_path / "back") == _instructions(source)


@pytest.mark.parametrize("name", ["gsm8k_test", "reviews_train", "user_oriented_instructions"])
def test_answers_become_labels_and_come_back_by_their_names(
    data_folder: Path, tmp_path: Path, name: str
) -> None:
    source = data_folder / f"{name}.jsonl"
    convert(source, tmp_path / "out", to="bert")
    findings = Findings("out")
    back = [(row["text"], row["label"]) for _, row in read_files(tmp_path / "out", findings)]
    assert findings.errors == ()
    assert back == _turns(source)


def test_answers_some_of_which_are_numbers_are_refused_as_labels_with_their_lines(
    data_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="some labels are numbers and some are not") as caught:
        convert(data_folder / "self_instruct_seed_tasks.jsonl", tmp_path / "out", to="bert")
    lines = [found.line for found in caught.value.findings]
    tasks = _rows(data_folder / "self_instruct_seed_tasks.jsonl")
    assert lines
    assert all(tasks[line - 1]["instances"][0]["output"].isdigit() for line in lines)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", OTHERS)
@pytest.mark.parametrize("name", SETS)
def test_a_target_of_other_rows_refuses_a_real_set_and_says_which_rows_it_takes(
    data_folder: Path, tmp_path: Path, name: str, to: str
) -> None:
    takes = ", ".join(TARGETS[to].writers)
    with pytest.raises(ConfigError, match=f"cannot become {to}, which is made of {takes} rows"):
        convert(data_folder / f"{name}.jsonl", tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["bedrock-prompt-completion", "bedrock-converse"])
def test_a_set_too_small_for_a_service_is_refused_before_it_is_written(
    data_folder: Path, tmp_path: Path, to: str
) -> None:
    with pytest.raises(DatasetError, match=f"has 70 rows, {to} takes no fewer than 100"):
        convert(data_folder / "reviews_test.jsonl", tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()
