"""Multipart uploads and transfers of the local S3, through boto3."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from tests.unit.local.s3_calls import blob_files, body_of, code_of, keys, md5, new_s3

MIB = 1 << 20


@pytest.fixture
def s3(tmp_path: Path) -> Any:
    return new_s3(tmp_path)


def start(s3: Any, key: str = "big", **params: Any) -> str:
    upload: str = s3.create_multipart_upload(Bucket="bkt", Key=key, **params)["UploadId"]
    return upload


def part(s3: Any, upload: str, number: int, data: bytes, **params: Any) -> dict[str, Any]:
    etag = s3.upload_part(Bucket="bkt", Key="big", UploadId=upload, PartNumber=number, Body=data, **params)[
        "ETag"
    ]
    return {"PartNumber": number, "ETag": etag}


def complete(s3: Any, upload: str, parts: list[dict[str, Any]], **params: Any) -> Any:
    where = {"Bucket": "bkt", "Key": "big", "UploadId": upload}
    return s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, **params)


def test_parts_in_any_order_of_arrival_make_the_object(s3: Any, tmp_path: Path) -> None:
    upload = start(s3, Metadata={"a": "1"}, ContentType="text/plain")
    last = part(s3, upload, 7, b"end")
    first = part(s3, upload, 2, b"x" * 5 * MIB)
    part(s3, upload, 3, b"left out")
    done = complete(s3, upload, [first, last])
    digests = [hashlib.md5(data).digest() for data in (b"x" * 5 * MIB, b"end")]  # noqa: S324 - S3's ETag
    assert done["ETag"] == f'"{hashlib.md5(b"".join(digests)).hexdigest()}-2"'  # noqa: S324
    head = s3.head_object(Bucket="bkt", Key="big")
    assert (head["ContentLength"], head["Metadata"]) == (5 * MIB + 3, {"a": "1"})
    assert body_of(s3, "big") == b"x" * 5 * MIB + b"end"
    assert len(blob_files(tmp_path)) == 1


def test_nothing_is_visible_before_an_upload_completes_nor_after_an_abort(s3: Any, tmp_path: Path) -> None:
    upload = start(s3)
    part(s3, upload, 1, b"x")
    assert keys(s3.list_objects_v2(Bucket="bkt")) == []
    s3.abort_multipart_upload(Bucket="bkt", Key="big", UploadId=upload)
    assert blob_files(tmp_path) == []
    assert code_of(lambda: part(s3, upload, 2, b"y")) == ("NoSuchUpload", 404)


def test_a_part_sent_again_replaces_the_first(s3: Any, tmp_path: Path) -> None:
    upload = start(s3)
    old = part(s3, upload, 1, b"old")
    new = part(s3, upload, 1, b"new")
    assert code_of(lambda: complete(s3, upload, [old])) == ("InvalidPart", 400)
    complete(s3, upload, [new])
    assert body_of(s3, "big") == b"new"
    assert len(blob_files(tmp_path)) == 1


def test_wrong_lists_of_parts_are_refused_and_the_upload_goes_on(s3: Any) -> None:
    upload = start(s3)
    first, second = part(s3, upload, 1, b"small"), part(s3, upload, 2, b"end")
    assert code_of(lambda: complete(s3, upload, [second, first])) == ("InvalidPartOrder", 400)
    assert code_of(lambda: complete(s3, upload, [first, second])) == ("EntityTooSmall", 400)
    assert code_of(lambda: complete(s3, upload, [first, {**second, "PartNumber": 3}])) == ("InvalidPart", 400)
    assert code_of(lambda: complete(s3, upload, [])) == ("MalformedXML", 400)
    complete(s3, upload, [first])
    assert body_of(s3, "big") == b"small"


def test_a_part_with_a_wrong_checksum_is_refused_and_can_be_sent_again(s3: Any, tmp_path: Path) -> None:
    upload = start(s3)
    assert code_of(lambda: part(s3, upload, 1, b"bad", ContentMD5=md5(b"y"))) == ("BadDigest", 400)
    assert "Parts" not in s3.list_parts(Bucket="bkt", Key="big", UploadId=upload)
    complete(s3, upload, [part(s3, upload, 1, b"good")])
    assert body_of(s3, "big") == b"good"
    assert [file.read_bytes() for file in blob_files(tmp_path)] == [b"good"]


def test_completion_only_if_absent_is_refused_where_the_key_is_taken(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="big", Body=b"there")
    upload = start(s3)
    parts = [part(s3, upload, 1, b"x")]
    assert code_of(lambda: complete(s3, upload, parts, IfNoneMatch="*")) == ("PreconditionFailed", 412)
    assert body_of(s3, "big") == b"there"


def test_a_part_damaged_on_the_disk_is_noticed_before_it_becomes_an_object(s3: Any, tmp_path: Path) -> None:
    upload = start(s3)
    parts = [part(s3, upload, 1, b"good")]
    (file,) = blob_files(tmp_path)
    file.chmod(0o644)
    file.write_bytes(b"evil")
    assert code_of(lambda: complete(s3, upload, parts)) == ("InvalidPart", 400)
    assert keys(s3.list_objects_v2(Bucket="bkt")) == []


def test_parts_and_uploads_are_listed(s3: Any) -> None:
    upload = start(s3)
    for number in (1, 2, 3):
        part(s3, upload, number, b"x" * number)
    uploads = s3.list_multipart_uploads(Bucket="bkt")["Uploads"]
    assert [(found["Key"], found["UploadId"]) for found in uploads] == [("big", upload)]
    pages = s3.get_paginator("list_parts").paginate(
        Bucket="bkt", Key="big", UploadId=upload, PaginationConfig={"PageSize": 2}
    )
    assert [found["Size"] for page in pages for found in page["Parts"]] == [1, 2, 3]


def test_files_go_up_and_down_in_parallel_parts_unchanged(s3: Any, tmp_path: Path) -> None:
    content = os.urandom(11 * MIB + 17)
    (tmp_path / "up").write_bytes(content)
    config = TransferConfig(multipart_threshold=MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
    s3.upload_file(str(tmp_path / "up"), "bkt", "big", Config=config)
    s3.download_file("bkt", "big", str(tmp_path / "down"), Config=config)
    assert (tmp_path / "down").read_bytes() == content
    assert s3.head_object(Bucket="bkt", Key="big")["ETag"].endswith('-3"')
    s3.copy({"Bucket": "bkt", "Key": "big"}, "bkt", "copy", Config=config)
    assert body_of(s3, "copy") == content


def test_a_full_object_checksum_is_that_of_all_bytes(s3: Any) -> None:
    upload = start(s3, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    first, last = b"x" * 5 * MIB, b"end"
    parts = [part(s3, upload, 1, first), part(s3, upload, 2, last)]
    done = complete(s3, upload, parts)
    expected = base64.b64encode(zlib.crc32(first + last).to_bytes(4, "big")).decode()
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (expected, "FULL_OBJECT")
