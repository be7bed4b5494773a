"""`ift data check` prints what was found, writes the page, and ends with 3 where rows cannot be used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ift_sagemaker.cli.tree import ift


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [{"instruction": f"Question {n}?", "output": "yes" if n % 2 else "no"} for n in range(10)]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, lines[3]]))
    return path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(ift, ["data", "check", *map(str, arguments)])


def test_findings_and_figures_are_printed(rows: Path) -> None:
    result = _run(rows)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "11 rows, format alpaca" in result.stdout
    assert f"- {rows}:11: prompt: is the same as line 4: Question 3? [duplicate]\n" in result.stdout
    assert "█" in result.stdout


def test_errors_end_with_3_and_are_printed_with_the_warnings(rows: Path) -> None:
    rows.write_text(rows.read_text() + '{"instruction": 1, "output": "x"}\n')
    result = _run(rows)
    assert result.exit_code == 3
    assert "rows.jsonl:12: instruction: is a number, expected a text" in result.stdout
    assert "[duplicate]" in result.stdout


def test_a_target_that_would_refuse_the_set_ends_with_3(rows: Path) -> None:
    result = _run(rows, "--for", "bedrock-converse")
    assert result.exit_code == 3
    assert "bedrock-converse takes no fewer than 100" in result.stdout


def test_several_sources_are_one_set_and_json_is_for_machines(rows: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"instruction": "Question 1?", "output": "maybe"}\n')
    report = json.loads(_run(rows, other, "--against", other, "--without", "duplicate", "--json").stdout)
    assert report["rows"] == 12
    assert report["rules"] == {"leakage": 2, "conflict": 1}
    assert [finding["rule"] for finding in report["findings"]] == ["conflict", "leakage", "leakage"]
    assert report["left_out"] == ["duplicate"]


def test_the_page_needs_no_script_and_nothing_from_elsewhere(rows: Path, tmp_path: Path) -> None:
    row = {"instruction": "<script>alert(1)</script><s>", "output": "<b>"}
    rows.write_text(rows.read_text() + json.dumps(row) + "\n")
    page = tmp_path / "page.html"
    assert _run(rows, "--html", page).exit_code == 0
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "<svg" in text
    assert "prefers-color-scheme: dark" in text
    assert "<script" not in text
    assert not re.search(r"https?:|\bsrc=|\bhref=|url\(|@import", text)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--memory", "much", "256MB"),
        ("--without", "nonsense", "near-duplicate"),
        ("--for", "nobody", "openai"),
    ],
)
def test_a_wrong_option_ends_with_3_and_says_what_is_right(
    rows: Path, option: str, value: str, message: str
) -> None:
    result = _run(rows, option, value)
    assert result.exit_code == 3
    assert message in result.stderr


@pytest.mark.parametrize("size", ["2MB", "2m", "2 MiB", "3000000"])
def test_memory_is_written_as_people_write_it(rows: Path, size: str) -> None:
    assert _run(rows, "--memory", size).exit_code == 0


def test_the_first_line_is_whole_however_long_the_name(rows: Path, tmp_path: Path) -> None:
    place = rows.rename(tmp_path / f"{'r' * 200}.jsonl")
    assert _run(place).stdout.startswith(f"{place}: 11 rows, format alpaca\n")
    place.write_text("")
    assert _run(place).stdout.startswith(f"{place}: 0 rows\n")


def test_a_page_that_cannot_be_written_is_one_line_on_stderr(rows: Path, tmp_path: Path) -> None:
    result = _run(rows, "--html", tmp_path / "none" / "page.html")
    assert result.exit_code == 3
    assert result.stderr == f"error: {tmp_path}/none/page.html cannot be written: No such file or directory\n"
