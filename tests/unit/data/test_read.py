from __future__ import annotations

import json
from pathlib import Path

import pytest

from ift_sagemaker.data import Finding, InstructionDataset
from ift_sagemaker.data.reading.lines import MAX_LINE_BYTES
from ift_sagemaker.data.rows.finding import MAX_FINDINGS
from ift_sagemaker.errors import ConfigError, DatasetError, TemplateError
from ift_sagemaker.wire.template import ALPACA, PromptTemplate

GOOD = b'{"instruction": "Say hi", "output": "hi"}'


def _file(folder: Path, *lines: bytes) -> Path:
    path = folder / "rows.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


def _errors(path: Path, template: PromptTemplate | None = None) -> list[Finding]:
    with pytest.raises(DatasetError) as caught:
        InstructionDataset.read(path, template=template)
    return list(caught.value.findings)


def _chat(*roles: str) -> bytes:
    return json.dumps({"messages": [{"role": role, "content": f"by {role}"} for role in roles]}).encode()


def test_alpaca_rows_are_read_with_the_default_template(tmp_path: Path) -> None:
    data = InstructionDataset.read(_file(tmp_path, GOOD, b"", GOOD.replace(b"hi", b"ho") + b"\r\n"))
    assert (len(data), data.format, data.template) == (2, "alpaca", ALPACA)
    assert data[0] == {"instruction": "Say hi", "input": "", "output": "hi"}
    assert data.prompt(data[0]) == "Say hi"
    assert data.completion(data[1]) == "ho"


def test_chat_rows_are_read_without_a_template(tmp_path: Path) -> None:
    data = InstructionDataset.read(_file(tmp_path, _chat("system", "user", "assistant")))
    assert (data.format, data.template) == ("chat", None)
    assert data.prompt(data[0]) == "system: by system\nuser: by user"
    assert data.completion(data[0]) == "by assistant"


def test_source_fields_are_mapped_and_may_be_nested(tmp_path: Path) -> None:
    path = _file(tmp_path, b'{"question": "Q", "meta": {"answer": "A", "a.b": 1}, "id": 7}')
    data = InstructionDataset.read(path, fields={"instruction": "question", "output": "meta.answer"})
    assert (data[0]["instruction"], data[0]["output"], data[0]["id"]) == ("Q", "A", 7)
    assert "question" not in data.columns


def test_a_key_with_a_dot_is_found_before_a_path(tmp_path: Path) -> None:
    path = _file(tmp_path, b'{"a.b": "Q", "a": {"b": "wrong"}, "output": "A"}')
    assert InstructionDataset.read(path, fields={"instruction": "a.b"})[0]["instruction"] == "Q"


@pytest.mark.parametrize(
    ("line", "rule", "field"),
    [
        (b'{"instruction": "\xff", "output": "x"}', "utf-8", ""),
        (b'\xef\xbb\xbf{"instruction": "a", "output": "x"}', "bom", ""),
        (b'{"instruction": "a\0", "output": "x"}', "nul", ""),
        (b'{"instruction": "a\\u0000", "output": "x"}', "nul", "instruction"),
        (b'{"instruction": "a\\ud800", "output": "x"}', "surrogate", "instruction"),
        (b'{"instruction": "a", "output": "x"', "json", ""),
        (b'{"instruction": "a", "output": ' + b"9" * 5000 + b"}", "json", ""),
        (b'["instruction"]', "object", ""),
        (b'"instruction"', "object", ""),
        (b"null", "object", ""),
        (b'{"instruction": "a", "instruction": "b", "output": "x"}', "duplicate-key", ""),
        (b'{"instruction": "a", "output": "x", "score": NaN}', "number", ""),
        (b'{"instruction": "a", "output": "x", "score": -Infinity}', "number", ""),
        (b'{"instruction": "a", "output": "x", "score": 1e999}', "number", ""),
        (b'{"instruction": "a"}', "missing", "output"),
        (b'{"instruction": null, "output": "x"}', "missing", "instruction"),
        (b'{"instruction": " \\n", "output": "x"}', "empty", "instruction"),
        (b'{"instruction": "a", "output": ""}', "empty", "output"),
        (b'{"instruction": "a", "output": 5}', "type", "output"),
        (b'{"instruction": "a", "input": ["b"], "output": "x"}', "type", "input"),
        (b'{"instruction": "a", "output": "x", "deep": ' + b"[" * 40 + b"]" * 40 + b"}", "depth", ""),
        (b"[" * 100_000, "depth", ""),
    ],
)
def test_a_bad_line_is_named_with_line_field_and_rule(
    tmp_path: Path, line: bytes, rule: str, field: str
) -> None:
    (finding,) = _errors(_file(tmp_path, GOOD, line, GOOD))
    assert (finding.line, finding.rule, finding.field) == (2, rule, field)
    assert finding.severity == "error"


def test_a_line_of_very_many_keys_is_searched_for_a_repeated_one_in_one_pass(tmp_path: Path) -> None:
    keys = [*range(100_000), 99_999]
    line = b"{" + b", ".join(b'"k%d": 0' % key for key in keys) + b"}"
    assert len(line) < MAX_LINE_BYTES
    (finding,) = _errors(_file(tmp_path, line, GOOD))
    assert (finding.rule, "'k99999' more than once" in finding.message) == ("duplicate-key", True)


def test_a_line_over_the_limit_is_named_and_the_next_ones_are_read(tmp_path: Path) -> None:
    long = b'{"instruction": "' + b"a" * MAX_LINE_BYTES + b'", "output": "x"}'
    first, second = _errors(_file(tmp_path, long, GOOD, b"{"))
    assert (first.line, first.rule) == (1, "line-length")
    assert (second.line, second.rule) == (3, "json")


def test_a_line_at_the_limit_is_read(tmp_path: Path) -> None:
    frame = b'{"instruction": "", "output": "x"}'
    line = frame.replace(b'""', b'"' + b"a" * (MAX_LINE_BYTES - len(frame)) + b'"')
    assert len(line) == MAX_LINE_BYTES
    assert len(InstructionDataset.read(_file(tmp_path, line, GOOD))) == 2


@pytest.mark.parametrize(
    ("row", "rule", "field"),
    [
        (_chat("assistant"), "role-order", "messages"),
        (_chat("system"), "role-order", "messages"),
        (_chat("user"), "role-order", "messages"),
        (_chat("user", "user", "assistant"), "role-order", "messages"),
        (_chat("user", "system", "assistant"), "role-order", "messages"),
        (_chat("user", "assistant", "user"), "role-order", "messages"),
        (_chat("human", "assistant"), "role", "messages[0].role"),
        (b'{"messages": []}', "type", "messages"),
        (b'{"messages": "hello"}', "type", "messages"),
        (b'{"messages": ["hello"]}', "type", "messages[0]"),
        (b'{"messages": [{"content": "x"}]}', "missing", "messages[0].role"),
        (b'{"messages": [{"role": "user"}]}', "missing", "messages[0].content"),
        (b'{"messages": [{"role": "user", "content": [{"text": "x"}]}]}', "type", "messages[0].content"),
        (b'{"messages": [{"role": "user", "content": ""}]}', "empty", "messages[0].content"),
        (b'{"messages": [{"role": ["user"], "content": "x"}]}', "role", "messages[0].role"),
        (b'{"instruction": "a", "output": "b"}', "missing", "messages"),
    ],
)
def test_a_bad_chat_row_is_named(tmp_path: Path, row: bytes, rule: str, field: str) -> None:
    good = _chat("user", "assistant")
    (finding,) = _errors(_file(tmp_path, good, row, good))
    assert (finding.line, finding.rule, finding.field) == (2, rule, field)


def test_all_findings_of_a_file_come_at_once_in_line_order(tmp_path: Path) -> None:
    path = _file(tmp_path, b'{"instruction": "a"}', b"{", GOOD, b'{"instruction": 5, "output": ""}')
    findings = _errors(path)
    assert [(finding.line, finding.rule) for finding in findings] == [
        (1, "missing"),
        (2, "json"),
        (4, "type"),
        (4, "empty"),
    ]
    assert str(findings[0]).startswith(f"{path}:1: output: is missing")


def test_at_most_a_thousand_findings_are_kept_and_the_rest_counted(tmp_path: Path) -> None:
    path = _file(tmp_path, *[b"{"] * (MAX_FINDINGS + 5))
    with pytest.raises(DatasetError, match="1005 errors") as caught:
        InstructionDataset.read(path)
    assert len(caught.value.findings) == MAX_FINDINGS
    assert len(str(caught.value)) < 3000


def test_an_example_in_a_finding_is_short_and_printable(tmp_path: Path) -> None:
    (finding,) = _errors(_file(tmp_path, GOOD, b"\x1b[2J" + b"x" * 500))
    assert len(finding.example) <= 60
    assert finding.example.isprintable()


@pytest.mark.parametrize("content", [b"", b"\n\n", b"  \r\n"])
def test_an_empty_file_is_named(tmp_path: Path, content: bytes) -> None:
    (finding,) = _errors(_file(tmp_path, content))
    assert (finding.line, finding.rule) == (0, "empty-file")


def test_a_missing_file_is_named_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.jsonl") as caught:
        InstructionDataset.read(tmp_path / "nowhere.jsonl")
    assert caught.value.path.endswith("nowhere.jsonl")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert _errors(tmp_path)[0].rule == "file"


def test_unknown_columns_are_named_with_the_way_to_map_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the fields query, reply; name them, as in fields="):
        InstructionDataset.read(_file(tmp_path, b'{"query": "a", "reply": "b"}'))


def test_a_template_names_the_columns_that_rows_need(tmp_path: Path) -> None:
    template = PromptTemplate("{instruction} ({context})", "{response}")
    row = b'{"instruction": "a", "context": 3, "response": "c", "note": "n"}'
    data = InstructionDataset.read(_file(tmp_path, row), template=template)
    assert data.prompt(data[0]) == "a (3)"
    assert data.template is template


def test_a_placeholder_without_a_column_is_a_template_error(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="answer"):
        InstructionDataset.read(_file(tmp_path, GOOD), template=PromptTemplate("{instruction}", "{answer}"))


def test_a_placeholder_that_one_row_lacks_is_a_finding(tmp_path: Path) -> None:
    template = PromptTemplate("{question}", "{output}")
    path = _file(tmp_path, b'{"question": "q", "output": "x"}', b'{"output": "x"}')
    (finding,) = _errors(path, template)
    assert (finding.line, finding.field, finding.rule) == (2, "question", "missing")


def test_a_row_whose_prompt_is_empty_is_a_finding(tmp_path: Path) -> None:
    template = PromptTemplate("{question}", "{output}")
    (finding,) = _errors(_file(tmp_path, b'{"question": "", "output": "x"}'), template)
    assert finding.rule == "empty"


def test_wrong_arguments_are_config_errors(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD)
    with pytest.raises(ConfigError, match="no format 'csv'"):
        InstructionDataset.read(path, format="csv")
    with pytest.raises(ConfigError, match="take no template"):
        InstructionDataset.read(path, format="chat", template=ALPACA)


def test_a_named_format_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="messages: is missing"):
        InstructionDataset.read(_file(tmp_path, GOOD), format="chat")


def test_places_in_lists_are_part_of_a_path(tmp_path: Path) -> None:
    path = _file(tmp_path, b'{"turns": [{"say": "Q"}, {"say": "x"}, {"say": "A"}], "id": 7}')
    data = InstructionDataset.read(path, fields={"instruction": "turns.0.say", "output": "turns.-1.say"})
    assert (data[0]["instruction"], data[0]["output"]) == ("Q", "A")


@pytest.mark.parametrize("source", ["turns.5.say", "turns.x.say", "turns.0.say.0", "turns.--1.say"])
def test_a_path_that_leads_nowhere_is_a_missing_field(tmp_path: Path, source: str) -> None:
    path = _file(tmp_path, b'{"turns": [{"say": "Q"}], "instruction": "Q"}')
    with pytest.raises(DatasetError, match="output: is missing"):
        InstructionDataset.read(path, fields={"output": source})


def test_a_folder_brings_its_own_template(tmp_path: Path) -> None:
    template = PromptTemplate("{question}?", "{reply}")
    _file(tmp_path, b'{"question": "Q", "reply": "A"}')
    (tmp_path / "template.json").write_text(template.to_json())
    data = InstructionDataset.read(tmp_path)
    assert (data.template, data.prompt(data[0]), data.completion(data[0])) == (template, "Q?", "A")


def test_a_template_may_name_canonical_fields_of_rows_written_otherwise(tmp_path: Path) -> None:
    path = _file(tmp_path, b'{"question": "Q", "answer": "A"}')
    data = InstructionDataset.read(path, template=ALPACA)
    assert (data.prompt(data[0]), data.completion(data[0])) == ("Q", "A")
