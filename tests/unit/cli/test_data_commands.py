"""`ift data render`, `stats` and `convert`: from files and from S3, for people and for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ift_sagemaker import local
from ift_sagemaker.cli.data_render import shown
from ift_sagemaker.cli.tree import ift
from ift_sagemaker.data import RenderedRow
from tests.unit.data.tiny_tokenizer import save_tokenizer

ROWS = [{"instruction": f"What is {n}?", "input": "", "output": "two " * n} for n in range(1, 31)]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    return str(save_tokenizer(tmp_path / "tiny"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str | None]:
    return {
        "IFT_CACHE": str(tmp_path / "cache"),
        "IFT_CONFIG": str(tmp_path / "none.yaml"),
        "IFT_LOCAL_ROOT": str(tmp_path / "aws"),
        "IFT_TARGET": None,
    }


def _run(environment: dict[str, str | None], *words: str) -> Result:
    return CliRunner().invoke(ift, ["data", *words], env=environment)


def test_rows_are_shown_as_the_model_sees_them_with_the_trained_part_in_brackets(
    environment: dict[str, str | None], rows: str, tokenizer: str
) -> None:
    result = _run(environment, "render", rows, "--tokenizer", tokenizer, "--rows", "1")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (
        "<|im_start|>user\nWhat is 1?<|im_end|>\n<|im_start|>assistant\n⟦two <|im_end|>⟧\n"
    )
    assert "rows.jsonl:1" in result.stderr


def test_spans_of_what_is_trained_are_told_to_machines(
    environment: dict[str, str | None], rows: str, tokenizer: str
) -> None:
    result = _run(environment, "render", rows, "--tokenizer", tokenizer, "--json")
    shown = json.loads(result.stdout)
    assert len(shown) == 3
    for number, row in enumerate(shown, start=1):
        ((start, end),) = row["trained"]
        assert row["text"][start:end] == "two " * number + "<|im_end|>"
        assert row["tokens"] > row["trained_tokens"] > number


@pytest.mark.parametrize("by_file", [False, True])
def test_a_template_is_named_or_a_file(
    environment: dict[str, str | None], rows: str, tmp_path: Path, *, by_file: bool
) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"prompt": "Below is {instruction}", "completion": "{output}"}')
    result = _run(environment, "render", rows, "--template", str(file) if by_file else "alpaca")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("user:\nBelow is ")


def test_an_unknown_template_is_bad_input(environment: dict[str, str | None], rows: str) -> None:
    result = _run(environment, "render", rows, "--template", "llama")
    assert result.exit_code == 3
    assert "there are plain, alpaca, dolly" in result.stderr


def test_a_tokenizer_that_was_not_pulled_names_the_command_that_does(
    environment: dict[str, str | None], rows: str
) -> None:
    result = _run(environment, "stats", rows, "--tokenizer", "smollm2-135m-instruct")
    assert result.exit_code == 3
    assert "ift models pull smollm2-135m-instruct" in result.stderr


def test_figures_are_told_to_people_and_to_machines(
    environment: dict[str, str | None], rows: str, tokenizer: str
) -> None:
    words = ("stats", rows, "--tokenizer", tokenizer, "--max-length", "40")
    text, value = _run(environment, *words), _run(environment, *words, "--json")
    figures = json.loads(value.stdout)
    assert (figures["rows"], figures["tokens"]["error"]) == (30, 0)
    packing = figures["tokens"]["packing"]
    assert f"{figures['tokens']['total']:,} ({tokenizer})" in text.stdout
    assert packing["over_long"] == len(packing["over_long_lines"]) > 0
    assert f"over 40 tokens: {packing['over_long']} rows (lines " in text.stdout


def test_an_estimate_says_that_it_is_one(environment: dict[str, str | None], rows: str) -> None:
    assert (
        "(estimate: 4 characters a token, where 2.5 to 6 are usual" in _run(environment, "stats", rows).stdout
    )


def test_rows_in_s3_are_read_by_every_command_that_takes_a_source(
    environment: dict[str, str | None], rows: str, tmp_path: Path
) -> None:
    s3 = local.boto3_session(tmp_path / "aws").client("s3")
    s3.create_bucket(Bucket="rows")
    s3.upload_file(rows, "rows", "set/rows.jsonl")
    at = ("--target", "local", "--json")
    stats = json.loads(_run(environment, "stats", "s3://rows/set/", *at).stdout)
    shown = json.loads(_run(environment, "render", "s3://rows/set/rows.jsonl", *at).stdout)
    place = str(tmp_path / "out")
    done = json.loads(_run(environment, "convert", "s3://rows/set/", place, "--to", "openai", *at).stdout)
    assert (stats["rows"], len(shown), done["rows"]) == (30, 3, 30)


def test_labels_are_numbered_by_the_map_that_is_given(
    environment: dict[str, str | None], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("text,label\nfine,good\nno,bad\n")
    (tmp_path / "map.json").write_text('{"bad": 0, "good": 1}')
    out = tmp_path / "out"
    words = ("convert", str(tmp_path / "rows.csv"), str(out), "--to", "bert")
    result = _run(environment, *words, "--labels", str(tmp_path / "map.json"))
    assert result.exit_code == 0, result.stderr
    assert (out / "data.csv").read_text() == "1,fine\n0,no\n"


@pytest.mark.parametrize("content", ["no json", "[]", '{"a": 5}'])
def test_a_map_of_labels_that_is_none_is_bad_input(
    environment: dict[str, str | None], tmp_path: Path, content: str
) -> None:
    (tmp_path / "rows.csv").write_text("text,label\nfine,good\n")
    (tmp_path / "map.json").write_text(content)
    words = ("convert", str(tmp_path / "rows.csv"), str(tmp_path / "out"), "--to", "bert")
    assert _run(environment, *words, "--labels", str(tmp_path / "map.json")).exit_code == 3


def test_a_terminal_shows_what_is_trained_in_green() -> None:
    row = RenderedRow(1, "Q: A.", ((3, 4),), exact=False)
    assert shown(row, coloured=True) == "Q: \x1b[32mA\x1b[0m."
    assert shown(row, coloured=False) == "Q: ⟦A⟧."


@pytest.mark.parametrize("command", ["train", "plan"])
def test_a_run_takes_templates_by_name_and_refuses_unknown_ones(
    environment: dict[str, str | None], rows: str, command: str
) -> None:
    words = [command, "smollm2-135m-instruct", rows, "--target", "local", "--template", "llama"]
    result = CliRunner().invoke(ift, words, env=environment)
    assert result.exit_code == 3
    assert "no template 'llama'" in result.stderr
