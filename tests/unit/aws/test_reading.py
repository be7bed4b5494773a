"""Rows in S3 are the rows of the same files here, also where the connection breaks on the way."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ift_sagemaker import local
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.reading import ATTEMPTS, S3Files
from ift_sagemaker.data import InstructionDataset, convert, shuffle_rows, split_rows
from ift_sagemaker.errors import (
    ConfigError,
    DatasetError,
    ResourceInUseError,
    ResourceNotFoundError,
    ServiceUnavailableError,
)
from ift_sagemaker.session import Session
from ift_sagemaker.wire.template import named

ROWS = [{"instruction": f"Q{n}", "input": "", "output": f"A{n}"} for n in range(12)]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


OBJECTS = {
    "one/rows.jsonl": LINES,
    "zipped/rows.jsonl.gz": gzip.compress(LINES),
    "columns/rows.parquet": _parquet(),
    "list/rows.json": json.dumps(ROWS).encode(),
    "many/a.jsonl": LINES[: LINES.index(b"Q6") - 17],
    "many/b.jsonl": LINES[LINES.index(b"Q6") - 17 :],
    "many/deeper/c.jsonl": b"not read",
    "many/readme.md": b"not read",
}


@pytest.fixture
def s3(tmp_path: Path) -> Any:
    session = local.boto3_session(tmp_path / "aws")
    s3 = session.client("s3")
    s3.create_bucket(Bucket="rows")
    for key, content in OBJECTS.items():
        s3.put_object(Bucket="rows", Key=key, Body=content)
    return s3


@pytest.fixture
def session(tmp_path: Path, s3: Any) -> Session:
    return Session(AWSClient(local.boto3_session(tmp_path / "aws")))


@pytest.mark.parametrize(
    "address",
    [
        "s3://rows/one/rows.jsonl",
        "s3://rows/one/",
        "s3://rows/one",
        "s3://rows/zipped/rows.jsonl.gz",
        "s3://rows/columns/rows.parquet",
        "s3://rows/list/rows.json",
        "s3://rows/many",
    ],
)
def test_rows_of_an_object_or_of_a_prefix_are_those_of_the_files(session: Session, address: str) -> None:
    assert list(session.read(address)) == ROWS


def test_an_address_is_converted_as_a_file_is(session: Session, tmp_path: Path) -> None:
    done = convert(session.at("s3://rows/many/"), tmp_path / "out", to="openai")
    assert (done.source, done.rows) == ("s3://rows/many/", len(ROWS))


def test_a_finding_names_the_object_and_its_line(session: Session, s3: Any) -> None:
    s3.put_object(Bucket="rows", Key="bad/rows.jsonl", Body=LINES + b"{}\n")
    with pytest.raises(DatasetError, match=r"s3://rows/bad:13: instruction"):
        session.read("s3://rows/bad")


def test_what_is_not_there_is_an_error_of_its_own(session: Session) -> None:
    with pytest.raises(ResourceNotFoundError, match="s3://rows/none"):
        session.read("s3://rows/none")


def test_without_a_session_an_address_of_s3_is_refused_with_the_way_to_read_it() -> None:
    with pytest.raises(ConfigError, match=r"connect\(\).read\('s3://rows/one'\)"):
        InstructionDataset.read("s3://rows/one")


class Breaking:
    """S3 whose answers break off after `size` bytes, `times` times; the rest is passed on."""

    def __init__(self, s3: Any, size: int, times: int) -> None:
        self._s3, self._size, self._times, self.ranges = s3, size, times, list[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    def get_object(self, **request: Any) -> Any:
        self.ranges.append(request["Range"])
        answer = self._s3.get_object(**request)
        if self._times:
            self._times -= 1
            content = answer["Body"].read(self._size)
            answer["Body"] = Broken(content)
        return answer


class Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if data := super().read(size):
            return data
        raise ConnectionResetError("reset by peer")


def test_a_connection_that_breaks_is_taken_up_where_it_broke(s3: Any) -> None:
    broken = Breaking(s3, 100, 2)
    with S3Files(lambda: broken).open("s3://rows/one/rows.jsonl") as stream:
        assert stream.read() == LINES
    last = len(LINES) - 1
    assert broken.ranges == [f"bytes=0-{last}", f"bytes=100-{last}", f"bytes=200-{last}"]


def test_a_connection_that_breaks_without_end_is_an_error_that_says_where(s3: Any) -> None:
    broken = Breaking(s3, 0, 99)
    with S3Files(lambda: broken).open("s3://rows/one/rows.jsonl") as stream:
        with pytest.raises(
            ServiceUnavailableError, match=rf"broke off at byte 0 of {len(LINES)}, {ATTEMPTS} "
        ):
            stream.read()


def test_an_object_that_changes_while_it_is_read_is_refused(s3: Any) -> None:
    with S3Files(lambda: s3).open("s3://rows/one/rows.jsonl") as stream:
        s3.put_object(Bucket="rows", Key="one/rows.jsonl", Body=b"other")
        with pytest.raises(ResourceInUseError):
            stream.read()


def test_what_was_uploaded_is_read_back_with_its_template(session: Session) -> None:
    data = InstructionDataset.from_rows(ROWS, template=named("alpaca"))
    back = session.read(session.upload(data).uri)
    assert (list(back), back.template, back.fingerprint) == (ROWS, data.template, data.fingerprint)


def test_rows_that_are_in_s3_are_not_uploaded_from_there(session: Session) -> None:
    with pytest.raises(ConfigError, match="is in S3 already"):
        session.upload(session.at("s3://rows/one"))


def test_stamps_tell_whether_an_object_is_still_the_same(s3: Any) -> None:
    files = S3Files(lambda: s3)
    address = "s3://rows/one/rows.jsonl"
    before = files.stamps([address, "s3://rows/many/a.jsonl", address])
    assert before[address][1] == len(LINES)
    assert len(before) == 2
    s3.put_object(Bucket="rows", Key="one/rows.jsonl", Body=LINES.replace(b"A1", b"B1"))
    assert files.stamps([address])[address] != before[address]
    with pytest.raises(ResourceNotFoundError):
        files.stamps(["s3://rows/none"])


def test_rows_in_s3_are_shaped_as_a_file_is_but_nothing_is_made_there(
    session: Session, tmp_path: Path
) -> None:
    done = split_rows(session.at("s3://rows/zipped/rows.jsonl.gz"), tmp_path / "out", test_size=0.25)
    assert (done.sources, done.files) == (
        ("s3://rows/zipped/rows.jsonl.gz",),
        {"train.jsonl": 9, "test.jsonl": 3},
    )
    with pytest.raises(ConfigError, match="ift data upload"):
        shuffle_rows(session.at("s3://rows/one/"), "s3://rows/out.jsonl")
