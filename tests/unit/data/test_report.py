from __future__ import annotations

import json

import pytest

from ift_sagemaker.data import InstructionDataset, LengthStats


def _data(*pairs: tuple[str, str]) -> InstructionDataset:
    return InstructionDataset.from_rows({"instruction": asked, "output": answer} for asked, answer in pairs)


def _rules(data: InstructionDataset) -> list[tuple[int, str]]:
    return [(finding.line, finding.rule) for finding in data.check().findings]


def test_clean_rows_have_no_findings() -> None:
    report = _data(("a", "x"), ("b", "y"), ("c", "z")).check()
    assert (report.rows, report.findings, report.labels) == (3, (), {})
    assert "warnings: none" in str(report)


def test_repeated_and_conflicting_rows_are_named_with_the_first() -> None:
    data = _data(("a", "x"), ("b", "y"), ("a", "x"), ("a", "z"))
    assert _rules(data) == [(3, "duplicate"), (4, "conflict")]
    assert "same as line 1" in str(data.check())


@pytest.mark.parametrize("text", ["<|im_end|>", "[INST] a", "a</s>", "<end_of_turn>"])
def test_control_tokens_in_prompt_or_answer_are_named(text: str) -> None:
    assert _rules(_data((text, "x"))) == [(1, "special-token")]
    assert _rules(_data(("a", f"x {text}"))) == [(1, "special-token")]


def test_ordinary_markup_is_no_control_token() -> None:
    assert _rules(_data(("<b>a</b> | b|", "[x]"))) == []


def test_few_answers_are_counted_as_labels() -> None:
    report = _data(*[(str(n), "good" if n % 4 else "bad") for n in range(8)]).check()
    assert report.labels == {"good": 6, "bad": 2}
    assert "'good' 75%" in str(report)


def test_one_answer_nearly_everywhere_is_a_warning() -> None:
    data = _data(*[(str(n), "good" if n else "bad") for n in range(20)])
    assert _rules(data) == [(0, "imbalance")]


def test_rows_of_the_other_part_are_named_as_leakage() -> None:
    data, other = _data(("a", "x"), ("b", "y")), _data(("b", "z"))
    assert [(finding.line, finding.rule) for finding in data.check(against=other).findings] == [
        (2, "leakage")
    ]


def test_lengths_are_in_characters() -> None:
    stats = LengthStats.of(["é" * length for length in range(1, 101)])
    assert stats == LengthStats(minimum=1, median=50, mean=50.5, p95=95, maximum=100)
    assert LengthStats.of(["ab"]) == LengthStats(2, 2, 2.0, 2, 2)


def test_a_report_is_plain_data() -> None:
    value = json.loads(json.dumps(_data(("a", "x"), ("a", "x")).check().to_dict()))
    assert value["rows"] == 2
    assert value["findings"][0]["rule"] == "duplicate"
    assert value["prompt_length"]["maximum"] == 1


def test_lines_are_those_of_the_source_after_a_split() -> None:
    data = _data(*[(f"p{n}", f"<s>{n}") for n in range(6)])
    train, test = data.split(test_size=0.5)
    lines = [finding.line for part in (train, test) for finding in part.check().findings]
    assert sorted(lines) == [1, 2, 3, 4, 5, 6]
