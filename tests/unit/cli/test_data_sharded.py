"""`--on sagemaker` is refused where it cannot be, and without it what means nothing alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ift_sagemaker.cli.tree import ift

REMOTE = "s3://bucket/rows/"


@pytest.mark.parametrize(
    "words", [["--instances", "2"], ["--max-runtime", "60"], ["--retry"], ["--image", "mine"]]
)
def test_options_of_jobs_need_a_job(words: list[str]) -> None:
    result = CliRunner().invoke(ift, ["data", "check", REMOTE, *words])
    assert result.exit_code == 2
    assert f"{words[0]} needs --on sagemaker" in result.stderr


def test_jobs_read_and_write_s3_alone(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\n')
    on = ["--on", "sagemaker"]
    for words in (
        ["check", str(rows), *on],
        ["check", REMOTE, "--against", str(rows), *on],
        ["convert", REMOTE, str(tmp_path / "out"), "--to", "openai", *on],
    ):
        result = CliRunner().invoke(ift, ["data", *words])
        assert (result.exit_code, "is not in S3" in str(result.exception or "") + result.stderr) == (3, True)
    result = CliRunner().invoke(ift, ["data", "convert", str(rows), "s3://bucket/new", "--to", "openai"])
    assert result.exit_code == 3
    assert "where processing jobs write" in result.stderr


def test_labels_are_refused_with_jobs(tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text('{"0": "no"}')
    words = [
        "convert",
        REMOTE,
        "s3://bucket/new",
        "--to",
        "bert",
        "--labels",
        str(labels),
        "--on",
        "sagemaker",
    ]
    result = CliRunner().invoke(ift, ["data", *words])
    assert result.exit_code == 2
    assert "--labels is for targets that --on does not write" in result.stderr
