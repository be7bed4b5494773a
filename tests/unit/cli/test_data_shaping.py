"""`ift data split, dedupe, filter, sample, mix, shuffle`: what goes where, and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from ift_sagemaker.cli.tree import ift
from ift_sagemaker.data import Progress
from ift_sagemaker.report.rows_bar import RowsBar

ROWS = [{"question": f"Q{n}", "answer": "AB"[n % 2], "n": n} for n in range(20)]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def _run(*words: object) -> Result:
    return CliRunner().invoke(ift, ["data", *map(str, words)])


def _read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_split_tells_its_files_and_strata(rows: Path, tmp_path: Path) -> None:
    words = ("--test-size", 0.2, "--validation-size", 0.1, "--stratify", "answer", "--seed", 1)
    result = _run("split", rows, tmp_path / "out", *words)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"20 rows -> {tmp_path / 'out'}: train.jsonl 14, test.jsonl 4, validation.jsonl 2\n"
        "  groups: 20\n"
        "  'A': train 7, test 2, validation 1\n"
        "  'B': train 7, test 2, validation 1\n"
    )
    parts = [row for path in (tmp_path / "out").iterdir() for row in _read(path)]
    assert sorted(parts, key=lambda row: row["n"]) == ROWS


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["split", "--no-near", "--compress", "gz"], 20),
        (["dedupe", "--near", "--by", "prompt", "--format", "question-answer"], 20),
        (["dedupe", "--field", "instruction=answer", "--field", "output=answer"], 2),
        (["filter", "--where", "n>=15", "--where", "answer=B", "--max-chars", "10"], 3),
        (["sample", "--count", "3"], 3),
        (["sample", "--share", "0.25", "--memory", "1MB"], 5),
        (["shuffle", "--seed", "5"], 20),
    ],
)
def test_every_verb_tells_machines_what_it_wrote(
    rows: Path, tmp_path: Path, words: list[str], written: int
) -> None:
    place = tmp_path / "out.jsonl"
    result = _run(words[0], rows, place, *words[1:], "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert (told["verb"], told["sources"], told["destination"]) == (words[0], [str(rows)], str(place))
    assert (told["read"], told["written"], sum(told["files"].values())) == (20, written, written)


def test_a_mixture_takes_sources_with_weights(rows: Path, tmp_path: Path) -> None:
    other = tmp_path / "a=b.jsonl"
    other.write_text(rows.read_text())
    result = _run("mix", f"{rows}=1", f"{other}=0.5", tmp_path / "out.jsonl", "--until", "all", "--json")
    assert result.exit_code == 0
    counts = json.loads(result.stdout)["counts"]
    assert counts[str(other)] == 20
    assert abs(counts[str(rows)] - 40) <= 2


REFUSED = [
    (["split", "--test-size", "1.5"], "test_size is a share over 0 and under 1, got 1.5"),
    (["split", "--test-size", "0.6", "--validation-size", "0.4"], "nothing is left for train"),
    (["split", "--stratify", "nowhere"], "rows.jsonl:1: nowhere: is missing"),
    (["split", "--format", "nonsense"], "no format 'nonsense'"),
    (["split", "--field", "nonsense"], "--field 'nonsense': write NAME=VALUE"),
    (["dedupe", "--field", "instruction=nowhere"], "no row has the field nowhere"),
    (["filter"], "a filter has a condition or more"),
    (["filter", "--where", "n"], "FIELD=VALUE"),
    (["filter", "--where", "m=1"], "has the field m; they have question, answer, n"),
    (["filter", "--min-chars", "5", "--max-chars", "1"], "min_chars 5 is over max_chars 1"),
    (["sample"], "give one of both"),
    (["sample", "--count", "21"], "21 rows are wanted, there are 20"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_done_ends_with_3_and_says_why(
    rows: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    result = _run(words[0], rows, tmp_path / "out.jsonl", *words[1:])
    assert result.exit_code == 3
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("source", ["rows.jsonl", "=1", "rows.jsonl=much"])
def test_a_source_without_a_weight_is_refused(tmp_path: Path, source: str) -> None:
    result = _run("mix", source, source, tmp_path / "out.jsonl")
    assert result.exit_code == 3
    assert "write SRC=WEIGHT" in result.stderr


def test_a_source_given_twice_is_refused(tmp_path: Path) -> None:
    result = _run("mix", "a.jsonl=1", "a.jsonl=2", tmp_path / "out.jsonl")
    assert result.exit_code == 3
    assert "a.jsonl is given twice" in result.stderr


@pytest.mark.parametrize("verb", ["split", "dedupe", "sample", "shuffle"])
def test_bad_rows_end_with_3_and_their_lines(tmp_path: Path, verb: str) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "a", "answer": "b"}\n{"question": \n')
    more = ["--count", "1"] if verb == "sample" else []
    result = _run(verb, rows, tmp_path / "out.jsonl", *more)
    assert result.exit_code == 3
    assert "rows.jsonl:2: is not JSON" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_the_bar_shows_rows_on_a_terminal_and_nothing_elsewhere() -> None:
    shown = {}
    for terminal in (True, False):
        console = Console(force_terminal=terminal, width=80, record=True, quiet=False)
        with console.capture() as captured, RowsBar("shuffle", console) as bar:
            bar(Progress(5000, 700, 1000))
            bar(Progress(10_000, 1400, 1000))
        shown[terminal] = captured.get()
    assert "shuffle: 10,000 rows" in shown[True]
    assert shown[False] == ""


def test_errors_are_json_as_well_with_every_finding_as_data(rows: Path, tmp_path: Path) -> None:
    rows.write_text('{"question": 1, "answer": "A"}\n{"question": "Q", "answer": ""}\n')
    result = _run("split", rows, tmp_path / "out", "--json")
    assert (result.exit_code, result.stdout) == (3, "")
    told = json.loads(result.stderr)
    assert (told["error"], told["path"]) == ("DatasetError", str(rows))
    assert [(finding["line"], finding["field"]) for finding in told["findings"]] == [
        (1, "question"),
        (2, "answer"),
    ]


def test_a_template_names_the_columns_of_rows_in_no_known_format(rows: Path, tmp_path: Path) -> None:
    rows.write_text("".join(json.dumps({"query": f"Q{n}", "reply": "A"}) + "\n" for n in range(8)))
    template = tmp_path / "t.json"
    template.write_text('{"prompt": "{query}", "completion": "{reply}"}')
    for verb in ("split", "dedupe"):
        result = _run(verb, rows, tmp_path / f"{verb}.jsonl", "--template", template)
        assert (result.exit_code, result.stderr) == (0, "")


def test_what_was_counted_is_said_in_words(rows: Path, tmp_path: Path) -> None:
    place = tmp_path / "out.jsonl"
    assert _run("filter", rows, place, "--where", "n>=15").stdout == (
        f"20 rows -> {place}: 5 rows\n  dropped by n>=15: 15\n"
    )
