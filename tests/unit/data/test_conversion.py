"""Conversion: whole or not at all, nothing dropped in silence, and the same turns on both sides."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.data import TARGETS, InstructionDataset, convert
from ift_sagemaker.errors import ConfigError, DatasetError, StorageError
from ift_sagemaker.wire.template import PromptTemplate

PLAIN = [{"instruction": f"Q{n}", "input": "x" if n % 2 else "", "output": f"A{n % 3}"} for n in range(120)]
TURNS = [
    {"role": "user", "content": "Q"},
    {"role": "assistant", "content": "A"},
    {"role": "user", "content": "Q2"},
    {"role": "assistant", "content": "A2"},
]
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
WITH_TOOL = [
    TURNS[0],
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "3"},
    TURNS[1],
]
OF_INSTRUCTIONS = [name for name, target in TARGETS.items() if "alpaca" in target.writers and name != "bert"]
OF_CONVERSATIONS = [
    "jumpstart-chat",
    "bedrock-converse",
    "bedrock-nova",
    "openai",
    "sharegpt",
    "anthropic",
]


def _file(folder: Path, rows: list[Any], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _lines(folder: Path, name: str = "train.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def _findings(folder: Path, rows: list[Any], to: str) -> list[tuple[int, str]]:
    with pytest.raises(DatasetError) as caught:
        convert(_file(folder, rows), folder / "out", to=to)
    assert [path.name for path in folder.iterdir()] == ["rows.jsonl"]
    return [(finding.line, finding.rule) for finding in caught.value.findings]


def _turns(data: InstructionDataset) -> list[tuple[str, str]]:
    return [(data.prompt(row), data.completion(row)) for row in data]


@pytest.mark.parametrize("to", OF_INSTRUCTIONS)
def test_instruction_rows_become_every_target_and_mean_the_same_when_read_back(
    tmp_path: Path, to: str
) -> None:
    source = _file(tmp_path, PLAIN)
    done = convert(source, tmp_path / "out", to=to)
    assert (done.rows, done.format, done.target) == (120, "alpaca", to)
    back = InstructionDataset.read(tmp_path / "out" / "train.jsonl")
    assert _turns(back) == _turns(InstructionDataset.read(source))


@pytest.mark.parametrize("to", OF_CONVERSATIONS)
def test_conversations_become_every_target_that_can_hold_them_and_come_back(tmp_path: Path, to: str) -> None:
    rows = [{"messages": [{"role": "system", "content": f"S{n}"}, *TURNS]} for n in range(120)]
    convert(_file(tmp_path, rows), tmp_path / "out", to=to)
    if to == "anthropic":  # its system text stands beside the turns, which no other format has
        assert _lines(tmp_path / "out")[7] == {"system": "S7", "messages": TURNS}
        return
    back = InstructionDataset.read(tmp_path / "out" / "train.jsonl")
    assert [row["messages"] for row in back] == [row["messages"] for row in rows]


@pytest.mark.parametrize(
    "to", ["jumpstart-instruction", "alpaca", "dolly", "prompt-completion", "question-answer"]
)
def test_turns_that_a_target_cannot_hold_are_named_by_line_and_nothing_is_written(
    tmp_path: Path, to: str
) -> None:
    rows = [{"messages": TURNS[:2]}, {"messages": TURNS}, {"messages": TURNS}]
    assert _findings(tmp_path, rows, to) == [(2, "not-held"), (3, "not-held")]


@pytest.mark.parametrize("to", ["jumpstart-instruction", "dolly", "question-answer"])
def test_a_system_text_without_a_place_is_refused_rather_than_dropped(tmp_path: Path, to: str) -> None:
    rows = [{"instruction": "Q", "output": "A", "system": "S"}]
    assert _findings(tmp_path, rows, to) == [(1, "not-held")]


@pytest.mark.parametrize("to", ["alpaca", "prompt-completion"])
def test_a_system_text_with_a_place_comes_back(tmp_path: Path, to: str) -> None:
    rows = [{"messages": [{"role": "system", "content": "S"}, *TURNS[:2]]}]
    convert(_file(tmp_path, rows), tmp_path / "out", to=to)
    assert InstructionDataset.read(tmp_path / "out" / "train.jsonl")[0]["messages"] == rows[0]["messages"]


def test_calls_of_tools_go_to_openai_and_sharegpt_whole(tmp_path: Path) -> None:
    rows = [{"messages": WITH_TOOL, "tools": [{"type": "function"}]}] * 10
    source = _file(tmp_path, rows)
    convert(source, tmp_path / "openai", to="openai")
    assert _lines(tmp_path / "openai") == rows
    convert(source, tmp_path / "sharegpt", to="sharegpt")
    convert(tmp_path / "sharegpt", tmp_path / "back", to="openai")
    assert _lines(tmp_path / "back") == rows


@pytest.mark.parametrize("to", ["jumpstart-chat", "bedrock-converse", "bedrock-nova", "anthropic"])
def test_calls_of_tools_are_refused_where_they_would_be_lost(tmp_path: Path, to: str) -> None:
    findings = _findings(tmp_path, [{"messages": WITH_TOOL}] * 120, to)
    assert findings == [(line, "not-held") for line in range(1, 121)]


def test_ids_of_calls_are_refused_by_sharegpt_which_has_none(tmp_path: Path) -> None:
    calls = {"role": "assistant", "tool_calls": [{"id": "c1", **CALL}]}
    answer = {"role": "tool", "tool_call_id": "c1", "content": "3"}
    rows = [{"messages": [TURNS[0], calls, answer, TURNS[1]]}]
    assert _findings(tmp_path, rows, "sharegpt") == [(1, "not-held")]


def test_jumpstarts_folder_has_the_template_and_the_fields_it_names(tmp_path: Path) -> None:
    template = PromptTemplate("{question}?", "{answer}")
    rows = [{"question": "Q", "answer": "A", "id": 7}]
    done = convert(
        _file(tmp_path, rows),
        tmp_path / "out",
        to="jumpstart-instruction",
        template=template,
        format="alpaca",
    )
    assert done.files == ("template.json", "train.jsonl")
    assert _lines(tmp_path / "out") == [{"question": "Q", "answer": "A"}]
    assert PromptTemplate.from_json((tmp_path / "out" / "template.json").read_text()) == template


def test_labels_are_numbered_in_the_order_they_come_and_named_beside(tmp_path: Path) -> None:
    rows = [
        {"label": "good", "text": "fine, really"},
        {"label": "bad", "text": 'a "quote"\nand a line'},
        {"label": "good", "text": "ok"},
    ]
    convert(_file(tmp_path, rows), tmp_path / "out", to="bert")
    with (tmp_path / "out" / "data.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["0", "fine, really"], ["1", rows[1]["text"]], ["0", "ok"]]
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == {"0": "good", "1": "bad"}


def test_instructions_become_labelled_texts(tmp_path: Path) -> None:
    convert(_file(tmp_path, PLAIN), tmp_path / "out", to="bert")
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == {"0": "A0", "1": "A1", "2": "A2"}


def test_texts_become_paragraphs_and_come_back(tmp_path: Path) -> None:
    rows = [{"text": "one\ntwo"}, {"text": "three"}]
    convert(_file(tmp_path, rows), tmp_path / "out", to="domain-text")
    assert (tmp_path / "out" / "train.txt").read_text() == "one\ntwo\n\nthree\n\n"
    convert(tmp_path / "out", tmp_path / "again", to="domain-text")
    assert (tmp_path / "again" / "train.txt").read_bytes() == (tmp_path / "out" / "train.txt").read_bytes()
    assert _findings_of_blank_line(tmp_path) == "not-held"


def _findings_of_blank_line(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        convert(_file(folder, [{"text": "a\n\nb"}], "blank.jsonl"), folder / "no", to="domain-text")
    return str(caught.value.findings[0].rule)


PAIRS = [
    {"prompt": "Q", "chosen": "good", "rejected": "bad"},
    {"prompt": TURNS[:1], "chosen": [TURNS[1]], "rejected": [{**TURNS[1], "content": "B"}]},
    {"chosen": TURNS[:2], "rejected": [TURNS[0], {**TURNS[1], "content": "B"}]},
    {"system": "S", "prompt": "Q", "chosen": "good", "rejected": "bad"},
]


@pytest.mark.parametrize("pair", PAIRS)
def test_preference_pairs_go_from_one_form_to_the_other_and_back(
    tmp_path: Path, pair: dict[str, Any]
) -> None:
    source = _file(tmp_path, [pair])
    convert(source, tmp_path / "openai", to="openai-preference")
    convert(source, tmp_path / "pairs", to="preference")
    convert(tmp_path / "openai", tmp_path / "back", to="preference")
    assert _lines(tmp_path / "back") == _lines(tmp_path / "pairs")


@pytest.mark.parametrize(
    "pair",
    [
        {"prompt": "Q", "chosen": "same", "rejected": "same"},
        {"chosen": TURNS[:2], "rejected": [{"role": "user", "content": "other"}, TURNS[1]]},
        {"prompt": "Q", "chosen": "good"},
    ],
)
def test_a_pair_that_teaches_nothing_is_an_error(tmp_path: Path, pair: dict[str, Any]) -> None:
    source = _file(tmp_path, [pair])
    with pytest.raises(DatasetError):
        convert(source, tmp_path / "out", to="preference", format="preference")


def test_words_that_fail_a_nova_job_are_named(tmp_path: Path) -> None:
    rows = [{"instruction": "User: hello", "output": "A"}, *PLAIN]
    assert _findings(tmp_path, rows, "bedrock-nova") == [(1, "not-held")]


@pytest.mark.parametrize(("to", "count"), [("openai", 9), ("bedrock-nova", 7), ("bedrock-converse", 99)])
def test_too_few_rows_for_a_target_are_told_before_any_upload(tmp_path: Path, to: str, count: int) -> None:
    assert _findings(tmp_path, PLAIN[:count], to) == [(0, "row-count")]


def test_too_many_rows_for_a_target_are_told(tmp_path: Path) -> None:
    rows = [PLAIN[0]] * 10_001
    assert _findings(tmp_path, rows, "bedrock-prompt-completion") == [(0, "row-count")]


def test_all_errors_of_a_file_are_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    rows: list[Any] = [*PLAIN[:2], {"instruction": "", "output": "A"}, {"instruction": "Q"}, [1]]
    assert _findings(tmp_path, rows, "alpaca") == [(3, "empty"), (4, "missing"), (5, "object")]


def test_half_of_a_surrogate_pair_is_named_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"instruction": "a\\ud800", "output": "x"}\n')
    with pytest.raises(DatasetError) as caught:
        convert(path, tmp_path / "out", to="alpaca")
    (finding,) = caught.value.findings
    assert (finding.line, finding.field, finding.rule) == (1, "instruction", "surrogate")


def test_a_destination_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="there already"):
        convert(_file(tmp_path, PLAIN), tmp_path / "out", to="alpaca")


@pytest.mark.parametrize(("to", "rows"), [("nowhere", PLAIN), ("domain-text", PLAIN), ("preference", PLAIN)])
def test_a_target_that_is_unknown_or_of_other_rows_is_refused(
    tmp_path: Path, to: str, rows: list[Any]
) -> None:
    with pytest.raises(ConfigError):
        convert(_file(tmp_path, rows), tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_jumpstart_is_read_by_its_own_template(tmp_path: Path) -> None:
    rows = [{"question": f"Q{n}", "answer": "A"} for n in range(10)]
    template = PromptTemplate("Say {question}?", "{answer}!")
    convert(_file(tmp_path, rows), tmp_path / "js", to="jumpstart-instruction", template=template)
    convert(tmp_path / "js", tmp_path / "out", to="openai")
    assert _lines(tmp_path / "out")[3]["messages"] == [
        {"role": "user", "content": "Say Q3?"},
        {"role": "assistant", "content": "A!"},
    ]
    assert _turns(InstructionDataset.read(tmp_path / "js"))[3] == ("Say Q3?", "A!")


def test_where_nothing_can_be_written_is_a_typed_error(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"question": "1 + 1?", "answer": "2"}\n')
    with pytest.raises(StorageError, match="cannot be written"):
        convert(source, source / "below a file", to="dolly")
    with pytest.raises(ConfigError, match="ift data upload"):
        convert(source, "s3://bucket/rows", to="dolly")
