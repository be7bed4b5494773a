"""Rows in S3, checked and converted by processing jobs of several hosts as by one machine.

The first three stories are told in both weathers, the others, about what is found in rows, in calm weather.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ift_sagemaker import local
from ift_sagemaker.cli.tree import ift
from ift_sagemaker.data import Depth, convert
from ift_sagemaker.data.checking.check import Check
from ift_sagemaker.errors import ConfigError, DatasetError, ProcessingJobFailed, UnsupportedError
from ift_sagemaker.plan.processing import Fleet
from ift_sagemaker.processing import sharded
from ift_sagemaker.processing.sharded import Running
from ift_sagemaker.session import Session
from tests.e2e.conftest import ONLY_CALM

BUCKET, OTHER = "rows-of-ours", "rows-of-others"
SHARDS, ROWS = 4, 500
WORDS = "river stone cloud bread window garden letter winter music paper bridge candle forest mirror".split()  # noqa: SIM905


def _text(number: int) -> str:
    digest = hashlib.sha256(str(number).encode()).digest()
    return " ".join(WORDS[byte % len(WORDS)] for byte in digest[:12]) + f" {number}"


def _rows(shard: int) -> list[dict[str, Any]]:
    """Rows of a shard; some are those of the shards before it: equal, in conflict, and nearly the same."""
    rows = [
        {"instruction": _text(shard * ROWS + number), "output": f"answer {shard} {number}"}
        for number in range(ROWS)
    ]
    for number in range(0, ROWS, 50):
        before = (shard - 1) % SHARDS * ROWS + number
        rows[number + 1] = {"instruction": _text(before), "output": f"answer {(shard - 1) % SHARDS} {number}"}
        rows[number + 2] = {"instruction": _text(before), "output": "quite another answer"}
        rows[number + 3] = {"instruction": f"{_text(before)} please", "output": "an answer"}
    rows[7] = {"instruction": "Write to jane@example.com </s>", "output": f"{shard}"}
    return rows


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.fixture
def put(root: Path) -> Callable[[str, bytes], None]:
    s3 = local.boto3_session().client("s3")
    for bucket in (BUCKET, OTHER):
        s3.create_bucket(Bucket=bucket)

    def put(address: str, content: bytes) -> None:
        bucket, _, key = address.removeprefix("s3://").partition("/")
        s3.put_object(Bucket=bucket, Key=key, Body=content)

    return put


def _read(uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    content: bytes = local.boto3_session().client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


@pytest.fixture
def train(put: Callable[[str, bytes], None]) -> str:
    """Four shards with rows that repeat across them, one of them with rows that cannot be used."""
    for shard in range(SHARDS):
        wrong = b'{"instruction": 1, "output": "x"}\nno row\n' if shard == 2 else b""
        put(f"s3://{BUCKET}/train/shard-{shard}.jsonl", _lines(_rows(shard)) + wrong)
    put(f"s3://{BUCKET}/train/empty.jsonl", b"")
    put(f"s3://{BUCKET}/train/deeper/other.jsonl", b"not of this folder")
    put(f"s3://{BUCKET}/train/notes.md", b"no rows")
    return f"s3://{BUCKET}/train"


@pytest.fixture
def held_out(put: Callable[[str, bytes], None]) -> str:
    """In another bucket, rows of the second and, nearly, of the fourth shard; twice, for it counts once."""
    leaked = [{"instruction": _text(ROWS + number), "output": "?"} for number in range(10, 20)]
    near = [{"instruction": f"{_text(3 * ROWS + number)} now", "output": "?"} for number in range(10, 15)]
    put(f"s3://{OTHER}/test/a.jsonl", _lines([*leaked, *near]))
    put(f"s3://{OTHER}/test/b.jsonl", _lines(leaked))
    put(f"s3://{OTHER}/test/none.jsonl", b"")
    return f"s3://{OTHER}/test/"


def _running(instances: int, **how: Any) -> Running:
    return Running(Fleet(instances=instances), **how)


def test_the_report_of_several_hosts_is_that_of_one_machine(
    session: Session, train: str, held_out: str
) -> None:
    how = Check(target="bedrock-nova", depth=Depth(memory_bytes=1 << 20))
    alone = how.report(session.at(train), session.at(held_out))
    together = sharded.check(session, [train], how, against=[held_out], running=_running(3))
    assert together.to_dict() == alone.to_dict()
    assert together == alone
    assert together.rows == SHARDS * ROWS + 1
    found = {"duplicate", "conflict", "near-duplicate", "leakage", "near-leakage", "personal-data", "json"}
    assert found <= together.rules.keys()
    said = {finding.message for finding in together.findings if finding.rule == "leakage"}
    assert f"has the prompt of s3://{OTHER}/test/a.jsonl:1, which is held out" in said


def test_the_command_prints_what_it_prints_without_sagemaker(
    train: str, held_out: str, tmp_path: Path
) -> None:
    words = ["data", "check", train, "--against", held_out, "--target", "local"]
    alone = CliRunner().invoke(ift, [*words, "--html", str(tmp_path / "alone.html")])
    asked = [*words, "--on", "sagemaker", "--instances", "2", "--html", str(tmp_path / "together.html")]
    together = CliRunner().invoke(ift, asked)
    assert (together.exit_code, together.stdout) == (alone.exit_code, alone.stdout)
    assert together.exit_code == 3
    assert (tmp_path / "together.html").read_text() == (tmp_path / "alone.html").read_text()
    assert "ift-data-check-" in together.stderr
    assert "ift-data-merge-" in together.stderr
    again = CliRunner().invoke(ift, [*asked, "--json"])
    assert json.loads(again.stdout)["path"] == train
    assert again.stderr.count("attached to ift-data-") == 2


def test_why_a_job_failed_is_in_the_error_and_only_a_retry_starts_another(
    session: Session, put: Callable[[str, bytes], None]
) -> None:
    """No host can hold both objects, since one would be a folder of the other's name."""
    addresses = [f"s3://{BUCKET}/bad/rows.jsonl", f"s3://{BUCKET}/bad/rows.jsonl/rows.jsonl"]
    for address in addresses:
        put(address, _lines(_rows(0)[:9]))
    failed = []
    for running, reason in (
        (_running(1), "Failed to download data"),
        (_running(1), r"Start it again with retry=True \(--retry\)"),
        (_running(1, retry=True), "Failed to download data"),
    ):
        with pytest.raises(ProcessingJobFailed, match=reason) as raised:
            sharded.check(session, addresses, Check(), running=running)
        failed.append(raised.value.name)
    assert failed == [failed[0], failed[0], f"{failed[0]}-2"]


@ONLY_CALM
def test_an_object_that_changed_is_examined_anew(
    session: Session, put: Callable[[str, bytes], None], train: str
) -> None:
    address = f"{train}/shard-0.jsonl"
    first = sharded.check(session, [address], Check(), running=_running(1))
    put(address, _lines(_rows(0)[:10]))
    second = sharded.check(session, [address], Check(), running=_running(1))
    assert (first.rows, second.rows) == (ROWS, 10)


@ONLY_CALM
def test_a_source_without_rows_is_told_of_and_held_out_rows_that_cannot_be_read_are_refused(
    session: Session, put: Callable[[str, bytes], None], train: str
) -> None:
    empty = f"s3://{BUCKET}/train/empty.jsonl"
    good = f"s3://{BUCKET}/train/shard-1.jsonl"
    alone = Check().report([session.at(empty), session.at(good)])
    together = sharded.check(session, [empty, good], Check(), running=_running(2))
    assert together == alone
    assert together.rules["empty-file"] == 1
    with pytest.raises(DatasetError, match="has no rows"):
        sharded.check(session, [good], Check(), against=[empty], running=_running(1))


@ONLY_CALM
def test_what_would_be_paid_for_nothing_or_cannot_be_done_is_refused_before_any_job(
    session: Session, put: Callable[[str, bytes], None], train: str
) -> None:
    upwards = f"s3://{BUCKET}/a/../b.jsonl"
    put(upwards, _lines(_rows(0)[:9]))
    with pytest.raises(ConfigError, match=r"has an empty, '.' or '..' part"):
        sharded.check(session, [upwards], Check(), running=_running(1))
    address = f"{train}/shard-0.jsonl"
    with pytest.raises(ConfigError, match="2 instances for 1 objects"):
        sharded.check(session, [address], Check(), running=_running(2))
    with pytest.raises(UnsupportedError, match="tokenizer"):
        sharded.check(session, [address], Check(count_tokens=len), running=_running(1))
    assert not local.boto3_session().client("sagemaker").list_processing_jobs()["ProcessingJobSummaries"]


@ONLY_CALM
def test_parts_joined_in_their_order_are_what_one_machine_writes(
    session: Session, put: Callable[[str, bytes], None], tmp_path: Path
) -> None:
    for shard in range(SHARDS):
        put(f"s3://{BUCKET}/good/{shard}.jsonl", _lines(_rows(shard)))
    put(f"s3://{BUCKET}/good/nothing.jsonl", b"")
    source, destination = f"s3://{BUCKET}/good/", f"s3://{OTHER}/converted/set"
    alone = convert(session.at(source), tmp_path / "alone", to="jumpstart-instruction")
    together = sharded.convert(session, source, destination, to="jumpstart-instruction", running=_running(2))
    parts = [f"part-{number:06d}.jsonl" for number in range(SHARDS)]
    assert together.conversion.files == (*parts, "template.json")
    joined = b"".join(_read(f"{together.uri}{name}") for name in parts)
    assert joined == (tmp_path / "alone" / "train.jsonl").read_bytes()
    assert _read(f"{together.uri}template.json") == (tmp_path / "alone" / "template.json").read_bytes()
    assert (together.conversion.rows, together.conversion.format) == (alone.rows, alone.format)
    assert len(session.read(together.uri)) == SHARDS * ROWS
    manifest = json.loads(_read(together.manifest_uri))
    assert manifest["rows"] == SHARDS * ROWS
    assert [file["sha256"] for file in manifest["files"][:SHARDS]] == [
        hashlib.sha256(_read(f"{together.uri}{name}")).hexdigest() for name in parts
    ]
    with pytest.raises(ConfigError, match="is there already"):
        sharded.convert(session, source, destination, to="jumpstart-instruction", running=_running(2))


@ONLY_CALM
def test_where_a_row_is_wrong_every_such_row_is_named_and_nothing_is_written(
    session: Session, train: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError) as alone:
        convert(session.at(train), tmp_path / "alone", to="openai")
    with pytest.raises(DatasetError) as together:
        sharded.convert(session, train, f"s3://{OTHER}/never", to="openai", running=_running(2))
    assert together.value.findings == alone.value.findings
    assert str(together.value) == str(alone.value)
    listed = local.boto3_session().client("s3").list_objects_v2(Bucket=OTHER, Prefix="never")
    assert listed["KeyCount"] == 0
    with pytest.raises(UnsupportedError, match="bert is not written in parts"):
        sharded.convert(session, train, f"s3://{OTHER}/never", to="bert", running=_running(2))
