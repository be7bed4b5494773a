"""`ift data upload`: the address on stdout, what happened on stderr, refusals with what to do next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ift_sagemaker.cli.tree import ift


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str | None]:
    """No credentials, and a local AWS of its own."""
    return {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": None,
        "AWS_SECRET_ACCESS_KEY": None,
        "AWS_PROFILE": None,
        "IFT_CONFIG": str(tmp_path / "config.yaml"),
        "IFT_TARGET": None,
        "IFT_LOCAL_ROOT": str(tmp_path / "aws"),
    }


@pytest.fixture
def rows(tmp_path: Path) -> str:
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    return str(tmp_path / "rows.jsonl")


def _upload(environment: dict[str, str | None], *words: str) -> Result:
    return CliRunner().invoke(ift, ["data", "upload", *words], env=environment)


def test_the_address_alone_goes_to_stdout(environment: dict[str, str | None], rows: str) -> None:
    first = _upload(environment, rows, "--target", "local")
    assert first.exit_code == 0
    assert first.stdout.startswith("s3://sagemaker-us-east-1-123456789012/ift/data/")
    assert first.stdout.count("\n") == 1
    again = _upload(environment, rows, "--target", "local")
    assert again.stdout == first.stdout
    assert "sent 0 bytes" in again.stderr


def test_machines_read_what_was_sent_and_the_manifest(environment: dict[str, str | None], rows: str) -> None:
    told = json.loads(_upload(environment, rows, "--target", "local", "--json").stdout)
    assert (told["manifest"]["rows"], told["manifest"]["format"]) == (1, "alpaca")
    assert told["bytes_sent"] > 0
    assert told["manifest_uri"].endswith(".manifest.json")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("s3://absent/x", "--target", "local"), 4, "aws s3 mb s3://absent"),
        (("--target", "local", "--owner", "999999999999"), 4, "account 999999999999"),
        (("http://bucket/x", "--target", "local"), 3, "s3://bucket/key"),
        ((), 4, "aws configure"),
    ],
)
def test_a_refusal_says_what_to_do_next(
    environment: dict[str, str | None], rows: str, words: tuple[str, ...], code: int, says: str
) -> None:
    result = _upload(environment, rows, *words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
