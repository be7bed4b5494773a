from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ift_sagemaker
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import ConfigError, DatasetError
from ift_sagemaker.wire.rows import read_channel, to_messages
from ift_sagemaker.wire.template import PromptTemplate

ROWS = [{"instruction": f"Add {n}", "input": str(n), "output": str(n + 1), "id": n} for n in range(10)]


def _data(count: int = 10) -> InstructionDataset:
    return InstructionDataset.from_rows(ROWS[:count])


def test_it_is_public_at_the_top_of_the_package() -> None:
    assert getattr(ift_sagemaker, "InstructionDataset") is InstructionDataset  # noqa: B009 - lazy export


def test_importing_the_room_imports_no_pandas() -> None:
    code = "import sys, ift_sagemaker.data; sys.exit('pandas' in sys.modules or 'boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_split_keeps_order_and_every_row() -> None:
    train, test = _data().split(test_size=0.3, seed=1)
    assert (len(train), len(test)) == (7, 3)
    for part in (train, test):
        ids = [row["id"] for row in part]
        assert ids == sorted(ids)
    assert sorted(row["id"] for part in (train, test) for row in part) == list(range(10))


def test_another_seed_gives_another_split() -> None:
    splits = {tuple(row["id"] for row in _data().split(seed=seed)[1]) for seed in range(6)}
    assert len(splits) > 1


def test_rows_of_one_prompt_stay_on_one_side() -> None:
    data = InstructionDataset.from_rows([*ROWS, *[{**row, "output": "other"} for row in ROWS]])
    train, test = data.split(test_size=0.4)
    assert {train.prompt(row) for row in train}.isdisjoint(test.prompt(row) for row in test)


@pytest.mark.parametrize("size", [0, 1, -0.1, 1.5, float("nan")])
def test_a_test_size_that_is_no_share_is_refused(size: float) -> None:
    with pytest.raises(ConfigError, match="share over 0 and under 1"):
        _data().split(test_size=size)


def test_rows_of_a_single_prompt_cannot_be_split() -> None:
    with pytest.raises(ConfigError, match="1 different prompts"):
        InstructionDataset.from_rows([ROWS[0], ROWS[0]]).split()


def test_two_rows_split_into_one_and_one() -> None:
    train, test = _data(2).split(test_size=0.01)
    assert (len(train), len(test)) == (1, 1)


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(10, 0.25, 2), (10, 0.26, 3), (10, 0.99, 9), (10, 0.01, 1), (3, 0.5, 2), (7, 0.5, 4)],
)
def test_rows_of_different_prompts_give_the_rounded_share(count: int, size: float, expected: int) -> None:
    train, test = _data(count).split(test_size=size)
    assert (len(train), len(test)) == (count - expected, expected)


def test_where_prompts_repeat_the_test_part_has_whole_prompts_only() -> None:
    twice = InstructionDataset.from_rows([row for row in ROWS for _ in range(2)])
    assert [len(twice.split(test_size=size)[1]) for size in (0.15, 0.25, 0.01)] == [2, 4, 2]


def test_only_what_the_template_needs_travels() -> None:
    files = _data(1).wire_files()
    assert json.loads(files["train.jsonl"]) == {"instruction": "Add 0", "input": "0", "output": "1"}
    assert PromptTemplate.from_json(files["template.json"].decode()) == _data(1).template


def test_the_instruction_travels_even_where_the_template_does_not_name_it() -> None:
    template = PromptTemplate("{question}", "{output}")
    row = {"instruction": "kind", "question": "q", "output": "o", "other": "x"}
    wire = InstructionDataset.from_rows([row], template=template).wire_files()["train.jsonl"]
    assert set(json.loads(wire)) == {"instruction", "question", "output"}


def test_chat_rows_travel_as_plain_messages() -> None:
    turns = [{"role": "user", "content": "a", "name": "bob"}, {"role": "assistant", "content": "b"}]
    data = InstructionDataset.from_rows([{"messages": turns, "id": 5}])
    files = data.wire_files()
    assert set(files) == {"train.jsonl"}
    assert json.loads(files["train.jsonl"]) == {
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    }
    assert [finding.rule for finding in data.check().findings] == ["ignored-key"]


def test_the_program_reads_what_the_dataset_sends(tmp_path: Path) -> None:
    data = _data()
    for name, content in data.wire_files().items():
        (tmp_path / name).write_bytes(content)
    rows, template = read_channel(tmp_path)
    sent = [to_messages(row, template) for row in rows]
    assert [turns[0]["content"] for turns in sent] == [data.prompt(row) for row in data]
    assert [turns[1]["content"] for turns in sent] == [data.completion(row) for row in data]


def test_the_fingerprint_is_that_of_what_travels() -> None:
    assert len(_data().fingerprint) == 64
    same = InstructionDataset.from_rows([{**row, "id": 99} for row in ROWS])
    assert same.fingerprint == _data().fingerprint
    assert _data(9).fingerprint != _data().fingerprint
    template = PromptTemplate("{instruction} {input}", "{output}")
    assert InstructionDataset.from_rows(ROWS, template=template).fingerprint != _data().fingerprint


def test_an_absent_input_and_an_empty_one_are_the_same() -> None:
    bare = {"instruction": "a", "output": "b"}
    empty = InstructionDataset.from_rows([{**bare, "input": ""}])
    assert InstructionDataset.from_rows([bare]).fingerprint == empty.fingerprint


def test_a_frame_and_its_rows_are_the_same_dataset() -> None:
    frame = pd.DataFrame(ROWS)
    data = InstructionDataset.from_pandas(frame)
    assert data.fingerprint == _data().fingerprint
    assert data.to_pandas().equals(frame[list(data.columns)])


def test_missing_values_of_a_frame_are_absent_fields() -> None:
    frame = pd.DataFrame({"instruction": ["a", "b"], "input": [None, float("nan")], "output": ["x", pd.NA]})
    with pytest.raises(DatasetError, match="<frame>:2: output: is missing"):
        InstructionDataset.from_pandas(frame)


def test_numbers_of_a_frame_travel_as_numbers() -> None:
    frame = pd.DataFrame({"question": [1, 2], "output": ["x", "y"]})
    data = InstructionDataset.from_pandas(frame, template=PromptTemplate("{question}?", "{output}"))
    assert json.loads(data.wire_files()["train.jsonl"].splitlines()[0])["question"] == 1


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    _data().write(tmp_path / "rows.jsonl")
    assert list(InstructionDataset.read(tmp_path / "rows.jsonl")) == list(_data())


def test_indexing_gives_rows_and_slices_give_datasets() -> None:
    data = _data()
    assert data[-1]["id"] == 9
    assert [row["id"] for row in data[2:4]] == [2, 3]
    with pytest.raises(IndexError):
        data[10]


def test_changing_a_row_that_was_given_out_changes_nothing() -> None:
    data = _data()
    data[0]["output"] = "other"
    next(iter(data))["output"] = "other"
    assert data[0]["output"] == "1"


def test_the_table_for_notebooks_is_short_and_escaped() -> None:
    row = {"instruction": "<script>" + "x" * 500, "output": "b"}
    html = InstructionDataset.from_rows([row] * 50)._repr_html_()
    assert "<script>" not in html
    assert html.count("<tr>") == 6
    assert len(html) < 2500


def test_its_repr_says_where_from_and_how_many() -> None:
    assert repr(_data()) == "InstructionDataset('<rows>', 10 rows, format='alpaca')"


class Split:
    """Stands in for a `datasets.Dataset` or, with no length, an `IterableDataset`: rows in order."""

    def __init__(self, count: int) -> None:
        self.count, self.given = count, 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in range(self.count):
            self.given += 1
            yield {"question": f"Q{number}", "answer": "A", "label": None, "scores": np.array([1, 2])}


def test_a_split_of_hugging_face_datasets_is_read_row_by_row() -> None:
    data = InstructionDataset.from_datasets(Split(3))
    assert [data.prompt(row) for row in data] == ["Q0", "Q1", "Q2"]
    assert data.columns == ("instruction", "output", "scores", "input")
    assert data[0]["scores"] == [1, 2]


def test_a_stream_is_read_no_further_than_its_limit() -> None:
    split = Split(10**9)
    assert len(InstructionDataset.from_datasets(split, limit=5)) == 5
    assert split.given == 5


def test_several_splits_have_to_be_chosen_from() -> None:
    with pytest.raises(ConfigError, match=r"choose a split, as in data\['train'\]; there are train, test"):
        InstructionDataset.from_datasets({"train": Split(1), "test": Split(1)})
