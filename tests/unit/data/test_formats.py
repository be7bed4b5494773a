"""Every way to write rows is recognised and means the same turns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.data import FORMATS, InstructionDataset
from ift_sagemaker.data.rows.formats import detect
from ift_sagemaker.errors import DatasetError, UnsupportedError

CHAT = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
SYSTEM = {"role": "system", "content": "S"}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}

ROWS: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "Q", "output": "A"},
    "dolly": {"instruction": "Q", "context": "", "response": "A", "category": "open_qa"},
    "prompt-completion": {"prompt": "Q", "completion": "A"},
    "question-answer": {"question": "Q", "answer": "A"},
    "self-instruct": {"instruction": "Q", "instances": [{"input": "", "output": "A"}]},
    "alpaca-chat": {"instruction": "Q", "output": "A", "system": ""},
    "prompt-completion-system": {"prompt": "Q", "completion": "A", "system": ""},
    "chat": {"messages": CHAT},
    "sharegpt": {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
    "jumpstart-dialog": {"dialog": CHAT},
    "converse": {
        "schemaVersion": "bedrock-conversation-2024",
        "messages": [
            {"role": "user", "content": [{"text": "Q"}]},
            {"role": "assistant", "content": [{"text": "A"}]},
        ],
    },
}


@pytest.mark.parametrize("name", ROWS)
def test_each_format_is_seen_from_its_keys_and_reads_as_the_same_turns(name: str) -> None:
    shape = detect([ROWS[name]])
    assert shape is not None
    assert shape.name == name
    data = InstructionDataset.from_rows([ROWS[name]])
    assert (data.prompt(data[0]), data.completion(data[0])) == ("Q", "A")


@pytest.mark.parametrize("name", ROWS)
def test_a_format_that_is_named_is_read_as_named(name: str) -> None:
    data = InstructionDataset.from_rows([ROWS[name]], format=name)
    assert data.completion(data[0]) == "A"


def test_jumpstart_dialogs_may_be_called_conversations(tmp_path: Path) -> None:
    data = InstructionDataset.from_rows([{"conversations": CHAT}])
    assert data[0]["messages"] == CHAT


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Q", "output": "A", "system": "S"},
        {"prompt": "Q", "completion": "A", "system": "S"},
        {"system": "S", "conversations": ROWS["sharegpt"]["conversations"]},
        {**ROWS["converse"], "system": [{"text": "S"}]},
        {"dialog": [SYSTEM, *CHAT]},
    ],
)
def test_a_system_text_is_the_first_turn_wherever_it_stood(row: dict[str, Any]) -> None:
    assert InstructionDataset.from_rows([row])[0]["messages"] == [SYSTEM, *CHAT]


def test_a_history_becomes_the_turns_before_the_last(tmp_path: Path) -> None:
    row = {"instruction": "Q2", "input": "more", "output": "A2", "history": [["Q", "A"]]}
    turns = InstructionDataset.from_rows([row])[0]["messages"]
    assert [turn["content"] for turn in turns] == ["Q", "A", "Q2\n\nmore", "A2"]


def test_every_instance_of_a_self_instruct_row_is_a_row(tmp_path: Path) -> None:
    instances = [{"input": f"i{number}", "output": f"o{number}"} for number in range(3)]
    data = InstructionDataset.from_rows([{"id": "x", "instruction": "Do", "instances": instances}])
    assert [(row["instruction"], row["input"], row["output"]) for row in data] == [
        ("Do", "i0", "o0"),
        ("Do", "i1", "o1"),
        ("Do", "i2", "o2"),
    ]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"instruction": "Q", "response": None}, "response"),
        ({"question": "Q", "answer": 5}, "answer"),
        ({"prompt": " ", "completion": "A"}, "prompt"),
        ({"conversations": [{"from": "human", "value": "Q"}, {"from": "cat", "value": "A"}]}, "from"),
        ({"conversations": [{"from": "human"}, {"from": "gpt", "value": "A"}]}, "conversations[0].value"),
        ({"dialog": [{"role": "user", "content": ""}, CHAT[1]]}, "dialog[0].content"),
    ],
)
def test_a_finding_names_the_field_as_the_file_has_it(row: dict[str, Any], field: str) -> None:
    with pytest.raises(DatasetError) as caught:
        InstructionDataset.from_rows([row])
    assert field in str(caught.value.findings[0].field)


@pytest.mark.parametrize(
    "turns",
    [
        [CHAT[0], {"role": "assistant", "content": "", "tool_calls": [CALL]}],
        [CHAT[0], {"role": "tool", "content": "3"}, CHAT[1]],
    ],
)
def test_calls_of_tools_are_refused_for_training_rather_than_dropped(turns: list[dict[str, Any]]) -> None:
    with pytest.raises(DatasetError):
        InstructionDataset.from_rows([{"messages": turns}])


@pytest.mark.parametrize("block", [{"image": {}}, {"text": "a", "cachePoint": {}}])
def test_content_that_is_more_than_text_is_named_and_not_dropped(block: dict[str, Any]) -> None:
    row = {"schemaVersion": "x", "messages": [{"role": "user", "content": [block]}, CHAT[1]]}
    with pytest.raises(DatasetError) as caught:
        InstructionDataset.from_rows([row])
    assert caught.value.findings[0].field == "messages[0].content"


@pytest.mark.parametrize("row", [{"text": "once"}, {"label": "0", "text": "good"}])
def test_rows_that_are_no_instructions_are_refused_with_what_can_be_done(row: dict[str, str]) -> None:
    with pytest.raises(UnsupportedError, match="ift data convert"):
        InstructionDataset.from_rows([row])


def test_most_of_the_first_rows_decide(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [ROWS["dolly"], ROWS["dolly"], ROWS["question-answer"]]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(DatasetError) as caught:
        InstructionDataset.read(path)
    assert [(finding.line, finding.rule) for finding in caught.value.findings] == [(3, "missing")] * 2


TWELVE: dict[str, dict[str, Any]] = {
    "alpaca": ROWS["alpaca"],
    "dolly": ROWS["dolly"],
    "prompt-completion": ROWS["prompt-completion"],
    "question-answer": ROWS["question-answer"],
    "self-instruct": ROWS["self-instruct"],
    "chat": {"messages": [CHAT[0], {"role": "assistant", "tool_calls": [CALL]}, CHAT[1]], "tools": []},
    "sharegpt": ROWS["sharegpt"],
    "jumpstart-dialog": ROWS["jumpstart-dialog"],
    "converse": ROWS["converse"],
    "text": {"text": "once"},
    "label": {"text": "fine", "label": "good"},
    "image-folder": {"image": "dog.png", "caption": "a dog"},
    "image-ref": {"image-ref": "s3://b/dog.png", "caption": "a dog"},
    "preference": {"prompt": "Q", "chosen": "A", "rejected": "B"},
    "openai-preference": {
        "input": {"messages": CHAT[:1]},
        "preferred_output": [],
        "non_preferred_output": [],
    },
}


@pytest.mark.parametrize("name", TWELVE)
def test_every_way_to_write_rows_is_told_from_all_others_and_can_be_named(name: str) -> None:
    shape = detect([TWELVE[name]])
    assert shape is not None
    assert shape.name == name
    assert name in FORMATS


def test_every_format_but_those_that_are_more_of_another_is_shown_here() -> None:
    assert set(FORMATS) - set(TWELVE) == {"alpaca-chat", "prompt-completion-system"}
