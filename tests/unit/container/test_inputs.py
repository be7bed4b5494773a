from __future__ import annotations

import json
from pathlib import Path

import pytest

from ift_sagemaker.container.inputs import (
    read_conversation_rows,
    read_conversations,
    read_hyperparameters,
    read_training_hyperparameters,
    refuse_many_hosts,
    split_rows,
)
from ift_sagemaker.errors import ConfigError, DatasetError, UnsupportedError
from ift_sagemaker.wire.paths import MLPaths
from ift_sagemaker.wire.rows import write_rows
from tests.unit.container.tiny import ROWS, TEMPLATE, make_job


def test_hyperparameters_arrive_as_strings_and_leave_typed(tmp_path: Path) -> None:
    path = tmp_path / "hyperparameters.json"
    path.write_text('{"epoch": "3", "merge_weights": "False", "sagemaker_region": "\\"eu-west-1\\""}')
    values = read_hyperparameters(path)
    assert (values["epoch"], values["merge_weights"], values["lora_r"]) == (3, False, 16)


def test_a_job_without_hyperparameters_has_the_defaults(tmp_path: Path) -> None:
    assert read_hyperparameters(tmp_path / "absent.json")["peft_type"] == "lora"


@pytest.mark.parametrize("text", ["{", "[]"])
def test_damaged_hyperparameters_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hyperparameters.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"hyperparameters\.json"):
        read_hyperparameters(path)


def test_jumpstarts_hyperparameters_are_followed_and_the_others_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hyperparameters.json"
    given = {"instruction_tuned": "True", "chat_dataset": "False", "lora_r": "8", "enable_fsdp": "True"}
    given |= {"max_input_length": "-1", "peft_type": "none", "sagemaker_program": "transfer_learning.py"}
    path.write_text(json.dumps(given))
    values = read_training_hyperparameters(path)
    assert (values["lora_r"], values["peft_type"], values["max_input_length"]) == (8, "None", 1024)
    assert (values["gradient_accumulation_steps"], values["truncate_long_rows"]) == (1, True)
    assert capsys.readouterr().out.endswith("not followed here: enable_fsdp=True\n")


@pytest.mark.parametrize(
    "given", [{"instruction_tuned": "False"}, {"max_train_samples": "5"}, {"train_from_scratch": "True"}]
)
def test_what_would_change_the_rows_that_jumpstarts_script_learns_is_refused(
    tmp_path: Path, given: dict[str, str]
) -> None:
    path = tmp_path / "hyperparameters.json"
    path.write_text(json.dumps({"chat_dataset": "False", "instruction_tuned": "True"} | given))
    with pytest.raises(UnsupportedError, match="not offered yet"):
        read_training_hyperparameters(path)


def test_our_own_names_are_not_taken_for_jumpstarts(tmp_path: Path) -> None:
    path = tmp_path / "hyperparameters.json"
    path.write_text(json.dumps({"enable_fsdp": "True"}))
    with pytest.raises(ConfigError, match="enable_fsdp"):
        read_training_hyperparameters(path)


def test_jumpstarts_channel_and_dialogs_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "input" / "data" / "train"
    folder.mkdir(parents=True)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    write_rows(folder / "train.jsonl", [{"dialog": turns}])
    found = read_conversations(MLPaths(tmp_path), {"validation_split_ratio": 0, "seed": 1})
    assert found.training == [turns]


def test_several_instances_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "resourceconfig.json"
    refuse_many_hosts(path)
    path.write_text(json.dumps({"hosts": ["algo-1"]}))
    refuse_many_hosts(path)
    path.write_text(json.dumps({"hosts": ["algo-1", "algo-2"]}))
    with pytest.raises(UnsupportedError, match="2 instances"):
        refuse_many_hosts(path)


def test_held_out_rows_are_seeded_and_disjoint() -> None:
    kept, held_out = split_rows(20, 0.2, seed=3)
    assert len(held_out) == 4
    assert sorted([*kept, *held_out]) == list(range(20))
    assert split_rows(20, 0.2, seed=3) == (kept, held_out)
    assert split_rows(20, 0.2, seed=4) != (kept, held_out)


def test_a_small_share_still_holds_out_a_row_and_leaves_one_to_learn() -> None:
    assert [len(part) for part in split_rows(2, 0.01, seed=0)] == [1, 1]
    with pytest.raises(DatasetError, match="cannot be split"):
        split_rows(1, 0.1, seed=0)


def test_the_validation_channel_comes_before_the_ratio(tmp_path: Path) -> None:
    root = make_job(tmp_path / "ml", {}, tmp_path)
    held_out = root / "input" / "data" / "validation"
    held_out.mkdir()
    write_rows(held_out / "train.jsonl", ROWS[:3])
    found = read_conversations(MLPaths(root), {"validation_split_ratio": 0.5, "seed": 1})
    assert (len(found.training), len(found.validation)) == (len(ROWS), 3)
    assert found.training[0][0]["content"] == "Name the colour.\n\ngrass"


def test_an_empty_channel_and_rows_without_template_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no rows"):
        read_conversation_rows(tmp_path / "training", None)
    write_rows(tmp_path / "train.jsonl", [{"messages": []}, {"instruction": "a"}])
    with pytest.raises(DatasetError, match=r"1 rows .* first row 2"):
        read_conversation_rows(tmp_path, None)
    (tmp_path / "template.json").write_text(json.dumps(TEMPLATE))
