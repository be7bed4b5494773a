"""`check` tells errors and warnings of files and folders, and what a target would refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.data import TARGETS, DatasetReport, Depth, InstructionDataset, check
from ift_sagemaker.data.checking.limits import of_the_set
from ift_sagemaker.data.checking.tally import Tally
from ift_sagemaker.data.tokens.counter import PLANNING_CHARACTERS
from ift_sagemaker.errors import ConfigError, DatasetError
from ift_sagemaker.wire.template import PromptTemplate


def _written(path: Path, *rows: Mapping[str, Any] | str) -> Path:
    path.parent.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _alpaca(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"instruction": f"Question {n}?", "output": f"Answer {n}"} for n in range(start, start + count)]


def _found(report: DatasetReport) -> list[tuple[int, str, str]]:
    return [(finding.line, finding.rule, finding.severity) for finding in report.findings]


def test_errors_and_warnings_are_told_together(tmp_path: Path) -> None:
    first, second = _alpaca(2)
    report = check(
        _written(tmp_path / "r.jsonl", first, "{bad", {"instruction": "x", "output": 5}, second, first)
    )
    assert _found(report) == [(2, "json", "error"), (3, "type", "error"), (5, "duplicate", "warning")]
    assert (report.rows, report.usable_rows, report.error_count, report.warning_count) == (4, 3, 2, 1)
    assert [finding.line for finding in report.errors] == [2, 3]


def test_each_finding_of_a_folder_names_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    _written(folder / "a.jsonl", *_alpaca(3), {"instruction": "", "output": "x"})
    _written(folder / "b.jsonl", "{bad", *_alpaca(2), {"instruction": "<s>", "output": "x"})
    report = check(folder)
    assert [(Path(f.path).name, f.line, f.rule) for f in report.findings] == [
        ("a.jsonl", 4, "empty"),
        ("b.jsonl", 1, "json"),
        ("b.jsonl", 2, "duplicate"),
        ("b.jsonl", 3, "duplicate"),
        ("b.jsonl", 4, "special-token"),
    ]
    assert [(Path(f.path).name, f.rows, f.errors, f.warnings) for f in report.files] == [
        ("a.jsonl", 4, 1, 0),
        ("b.jsonl", 3, 1, 3),
    ]
    assert "a.jsonl:1" in report.findings[2].message


def test_fields_are_named_as_the_source_names_them(tmp_path: Path) -> None:
    report = check(_written(tmp_path / "r.jsonl", *[{"question": "a", "answer": "b"}] * 2, {"question": "c"}))
    assert [finding.field for finding in report.errors] == ["answer"]


def test_rows_of_the_other_set_are_leakage(tmp_path: Path) -> None:
    train, test = (
        _written(tmp_path / "train.jsonl", *_alpaca(5)),
        _written(tmp_path / "t.jsonl", *_alpaca(2, 3)),
    )
    report = check(train, against=test)
    assert _found(report) == [(4, "leakage", "warning"), (5, "leakage", "warning")]
    assert report.against == (str(test),)
    assert f"{test}:1" in report.findings[0].message


def test_a_set_to_check_against_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.jsonl"):
        check(_written(tmp_path / "r.jsonl", *_alpaca(2)), against=tmp_path / "nowhere.jsonl")


def test_an_empty_or_absent_source_is_an_error_of_the_report(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert _found(check(tmp_path / "empty.jsonl")) == [(0, "empty-file", "error")]
    report = check(tmp_path / "nowhere.jsonl")
    assert _found(report) == [(0, "file", "error")]
    assert report.prompt_length is None
    assert "0 rows" in str(report)
    assert "nowhere" in report._repr_html_()


def test_rows_of_no_known_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no known format"):
        check(_written(tmp_path / "r.jsonl", {"a": "b"}))


@pytest.mark.parametrize(
    ("name", "count", "found"),
    [
        ("bedrock-nova", 7, [(0, "row-count", "error")]),
        ("bedrock-nova", 8, [(0, "row-advice", "warning")]),
        ("bedrock-nova", 100, []),
        ("openai", 9, [(0, "row-count", "error")]),
        ("openai", 10, [(0, "row-advice", "warning")]),
        ("bedrock-converse", 99, [(0, "row-count", "error")]),
        ("alpaca", 1, []),
    ],
)
def test_too_few_rows_for_a_target_are_told(
    tmp_path: Path, name: str, count: int, found: list[tuple[int, str, str]]
) -> None:
    report = check(_written(tmp_path / "r.jsonl", *_alpaca(count)), target=name)
    assert _found(report) == found
    assert report.target == name


def test_too_many_rows_and_bytes_for_a_target_are_told() -> None:
    target = replace(TARGETS["bedrock-nova"], maximum=10, max_bytes=1000)
    tally = Tally()
    tally.rows["r"], tally.sums["bytes"], tally.usable = 11, 1001, 11
    assert [rule for _, rule, _ in of_the_set(target, tally)] == ["row-advice", "row-count", "file-size"]


def test_rows_that_a_target_cannot_hold_and_reserved_words_are_told(tmp_path: Path) -> None:
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant") * 2]
    report = check(_written(tmp_path / "r.jsonl", {"messages": turns}), target="dolly")
    assert _found(report) == [(1, "not-held", "error")]
    rows = [
        *_alpaca(100),
        {"instruction": "Say User: hello", "output": "x"},
        {"instruction": "y", "output": "Bot: z"},
    ]
    report = check(_written(tmp_path / "n.jsonl", *rows), target="bedrock-nova")
    assert _found(report) == [(101, "reserved-word", "error")]


def test_long_rows_are_warnings_where_tokens_are_estimated_and_errors_where_counted(tmp_path: Path) -> None:
    rows = [*_alpaca(100), {"instruction": "x" * 100_000, "output": "y"}]
    source = _written(tmp_path / "r.jsonl", *rows)
    (found,) = check(source, target="bedrock-converse").findings
    assert (found.line, found.rule, found.severity) == (101, "token-limit", "warning")
    assert f"at {PLANNING_CHARACTERS} characters each, about 16667 tokens" in found.message
    assert check(source, target="bedrock-nova").findings == ()
    report = check(source, target="bedrock-converse", count_tokens=len)
    assert _found(report) == [(101, "token-limit", "error")]
    assert report.tokens.longest == 100_001
    assert report.tokens.basis == "counted by a tokenizer"


def test_what_cannot_become_a_target_at_all_is_refused(tmp_path: Path) -> None:
    source = _written(tmp_path / "r.jsonl", *_alpaca(2))
    with pytest.raises(ConfigError, match="cannot become domain-text"):
        check(source, target="domain-text")
    with pytest.raises(ConfigError, match="no target 'nonsense'"):
        check(source, target="nonsense")


@pytest.mark.parametrize(
    ("row", "other"),
    [
        ({"text": "once upon a time"}, {"text": "there was"}),
        ({"label": 1, "text": "good"}, {"label": 0, "text": "bad"}),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "b", "chosen": "b", "rejected": "c"}),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, None),
        ({"prompt": "a", "completion": "b", "system": "c"}, None),
    ],
)
def test_repeats_are_found_in_rows_of_every_kind(
    tmp_path: Path, row: dict[str, Any], other: dict[str, Any] | None
) -> None:
    rows = [row, *([other] if other else []), row]
    assert _found(check(_written(tmp_path / "r.jsonl", *rows))) == [(len(rows), "duplicate", "warning")]


def test_several_pairs_for_one_prompt_are_no_conflict(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "chosen": "b", "rejected": c} for c in "cd"]
    assert check(_written(tmp_path / "r.jsonl", *rows)).findings == ()


def test_half_of_a_surrogate_pair_is_an_error_with_its_field(tmp_path: Path) -> None:
    bad = '{"instruction": "a \\ud800", "input": "", "output": "b"}'
    (found,) = check(_written(tmp_path / "r.jsonl", *_alpaca(1), bad)).findings
    assert (found.line, found.field, found.rule) == (2, "instruction", "surrogate")


def test_a_template_says_what_prompt_and_answer_are(tmp_path: Path) -> None:
    template = PromptTemplate("Q: {q}", "{a}")
    source = _written(tmp_path / "r.jsonl", {"q": "one", "a": "two"}, {"q": "one"})
    report = check(source, template=template)
    assert _found(report) == [(2, "missing", "error")]
    assert report.prompt_length is not None
    assert report.prompt_length.maximum == len("Q: one")


def test_in_memory_and_streamed_checks_agree(tmp_path: Path) -> None:
    rows = [*_alpaca(30), *_alpaca(2), {"instruction": "Question 3?", "output": "other"}]
    source = _written(tmp_path / "r.jsonl", *rows)
    depth = Depth(frozenset({"language"}))
    streamed, held = check(source, depth=depth), InstructionDataset.read(source).check(depth=depth)
    assert streamed.findings == held.findings
    assert streamed.prompt_length == held.prompt_length
    assert streamed.labels == held.labels


@pytest.mark.data
@pytest.mark.parametrize("name", ["gsm8k", "reviews"])
def test_real_training_and_test_sets_share_no_prompt(data_folder: Path, name: str) -> None:
    report = check(data_folder / f"{name}_train.jsonl", against=data_folder / f"{name}_test.jsonl")
    assert report.error_count == 0
    assert not {"leakage", "near-leakage"} & report.rules.keys()
    assert max(report.languages, key=lambda language: report.languages[language]) == "English"


def test_images_of_one_caption_are_no_duplicates_and_near_addresses_are_different_images(
    tmp_path: Path,
) -> None:
    places = [f"s3://bucket/a/long/way/to/the/photos/of/the/dog/number/{n}.png" for n in range(12)]
    lines = [{"image-ref": place, "caption": "a photo of a dog"} for place in [*places, places[0]]]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = check(path)
    assert [finding.line for finding in report.warnings if finding.rule == "duplicate"] == [13]
    assert not {"near-duplicate", "conflict"} & report.rules.keys()
