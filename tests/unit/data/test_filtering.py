"""Conditions on rows: what they mean, and what is no condition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.data import Condition, filter_rows
from ift_sagemaker.errors import ConfigError, DatasetError

ROW = {
    "instruction": "Say it",
    "output": "Tea, black",
    "n": 7,
    "share": 0.5,
    "good": True,
    "code": "007",
    "tags": ["a", "b"],
    "meta": {"lang": "en"},
    "a=b": 1,
    "none": None,
}
MET = [
    "n=7",
    "n==7.0",
    "n>=7",
    "n<8",
    "share>0.4",
    "good=true",
    "code=007",
    "code!=7",
    "code<=7",
    "output~black",
    "output!~coffee",
    "output = Tea, black",
    "meta.lang=en",
    "meta.lang!=de",
    "len(output)=10",
    "len(tags)>=2",
    "absent!=x",
    "absent!~x",
    "none!=x",
    'tags=["a", "b"]',
]
NOT_MET = [
    "n=8",
    "n>7",
    "good=True",
    "good>=1",
    "code=7",
    "output~Black",
    "output!~Tea",
    "output>5",
    "absent=x",
    "absent~x",
    "absent<1",
    "len(absent)<1",
    "len(n)=1",
    "none=None",
]


def _met(text: str) -> bool:
    condition = Condition.parse(text)
    value: Any = ROW
    for part in condition.field.split("."):
        value = value.get(part)
    return condition.is_met(value)


@pytest.mark.parametrize("text", MET)
def test_a_condition_is_met(text: str) -> None:
    assert _met(text)


@pytest.mark.parametrize("text", NOT_MET)
def test_a_condition_is_not_met(text: str) -> None:
    assert not _met(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n",
        "=7",
        "n>x",
        "len(n)=x",
        "len(n)~7",
        "__import__('os')",
        "n>",
        "len()>1",
        "max(n)=1",
        "n<len(a)",
    ],
)
def test_what_is_no_condition_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Condition.parse(text)
    assert caught.value.field == "where"
    assert "FIELD=VALUE" in caught.value.allowed


def _file(folder: Path, rows: list[Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _rows(count: int) -> list[dict[str, Any]]:
    return [{"instruction": "Q" * n, "output": "AB"[n % 2], "n": n} for n in range(1, count + 1)]


def _left(folder: Path) -> list[int]:
    return [json.loads(line)["n"] for line in (folder / "out.jsonl").read_text().splitlines()]


def test_rows_that_meet_all_conditions_stay_and_the_rest_is_counted(tmp_path: Path) -> None:
    done = filter_rows(
        _file(tmp_path, _rows(10)),
        tmp_path / "out.jsonl",
        where=["output=A", Condition("n>2", "n", ">", "2")],
        min_chars=6,
        max_chars=9,
    )
    assert _left(tmp_path) == [6, 8]
    assert done.counts == {"output=A": 5, "n>2": 1, "min-chars 6": 1, "max-chars 9": 1}
    assert (done.read, done.written) == (10, 2)


def test_mapped_names_can_be_used_and_are_not_written(tmp_path: Path) -> None:
    rows = [{"q": "Q", "meta": {"answer": f"A{n}"}, "n": n} for n in range(3)]
    fields = {"instruction": "q", "output": "meta.answer"}
    filter_rows(
        _file(tmp_path, rows), tmp_path / "out.jsonl", where=["output=A1"], min_chars=1, fields=fields
    )
    assert (tmp_path / "out.jsonl").read_text() == '{"q":"Q","meta":{"answer":"A1"},"n":1}\n'


def test_rows_of_any_kind_can_be_filtered_by_their_fields(tmp_path: Path) -> None:
    filter_rows(_file(tmp_path, [{"n": 1}, {"n": 2, "x": []}]), tmp_path / "out.jsonl", where=["n=2"])
    assert (tmp_path / "out.jsonl").read_text() == '{"n":2,"x":[]}\n'


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "where"),
        ({"min_chars": -1}, "min_chars"),
        ({"max_chars": -1}, "max_chars"),
        ({"min_chars": 5, "max_chars": 4}, "min_chars"),
        ({"where": ["nothing=1"]}, "where"),
        ({"where": ["n=99"]}, "where"),
    ],
)
def test_what_would_filter_nothing_or_all_is_refused_and_nothing_is_written(
    tmp_path: Path, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        filter_rows(_file(tmp_path, _rows(4)), tmp_path / "out.jsonl", **settings)
    assert caught.value.field == field
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_misspelt_field_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no row of .* has the field ouput; they have instruction, output, n"
    ):
        filter_rows(_file(tmp_path, _rows(4)), tmp_path / "out.jsonl", where=["ouput!=A"])


def test_lengths_need_rows_whose_prompt_and_answer_are_known(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no known format"):
        filter_rows(_file(tmp_path, [{"n": 1}]), tmp_path / "out.jsonl", min_chars=1)
