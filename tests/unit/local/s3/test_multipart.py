"""Multipart uploads and transfers of the local S3, through boto3."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.s3.records import Attributes, StoredObject
from ift_sagemaker.local.s3.uploads import Completion, Incoming, ListedPart, Uploads
from ift_sagemaker.local.state.store import Store
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


def where(upload: str) -> dict[str, str]:
    return {"Bucket": "bkt", "Key": "big", "UploadId": upload}


def pick(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in ("ETag", "ChecksumSHA256")}


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[ObjectStore]:
    store = Store(tmp_path / "root")
    made = ObjectStore(store)
    made.create_bucket("bkt")
    yield made
    store.close()


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


def test_parts_of_one_size_are_written_once(s3: Any, tmp_path: Path) -> None:
    upload = start(s3)
    parts = [part(s3, upload, 1, b"x" * 5 * MIB), part(s3, upload, 2, b"end")]
    (file,) = blob_files(tmp_path)
    before = file.stat()
    complete(s3, upload, parts)
    assert [found.stat().st_ino for found in blob_files(tmp_path)] == [before.st_ino]
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert stat.S_IMODE(file.stat().st_mode) == 0o444


def test_an_upload_goes_on_after_a_completion_that_was_refused(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="big", Body=b"there")
    upload = start(s3)
    first = part(s3, upload, 1, b"x" * 5 * MIB)
    assert code_of(lambda: complete(s3, upload, [first], IfNoneMatch="*"))[0] == "PreconditionFailed"
    last = part(s3, upload, 2, b"end")
    complete(s3, upload, [first, last])
    assert body_of(s3, "big") == b"x" * 5 * MIB + b"end"


def test_an_upload_of_one_empty_part_is_an_empty_object(s3: Any) -> None:
    upload = start(s3)
    complete(s3, upload, [part(s3, upload, 1, b"")])
    assert body_of(s3, "big") == b""


def test_a_part_still_being_written_never_reaches_a_completed_object(objects: ObjectStore) -> None:
    uploads = Uploads(objects, least=1)
    upload = uploads.get("bkt", "big", uploads.create("bkt", "big", Attributes(), "", ""))
    first = uploads.put_part(upload, 1, Incoming(io.BytesIO(b"good"), 4))

    class Slow(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            if not self.tell():
                uploads.complete(upload, [ListedPart(1, first.etag, {})], Completion())
            return super().readinto(buffer)

    with pytest.raises(ServiceError) as refused:
        uploads.put_part(upload, 2, Incoming(Slow(b"late"), 4))
    assert refused.value.code == "NoSuchUpload"
    stored = objects.get("bkt", "big")
    assert stored is not None
    assert stored.path.read_bytes() == b"good"
    files = [path for path in (objects.store.root / "s3" / "objects").rglob("*") if path.is_file()]
    assert files == [stored.path]


class Overtaken(ObjectStore):
    """A store in which another part comes in just before the object is named."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.before: list[Callable[[], object]] = []

    def commit(self, *what: Any) -> StoredObject:
        while self.before:
            self.before.pop()()
        return super().commit(*what)


def test_a_part_that_comes_in_just_before_the_end_stays_out_of_the_object(tmp_path: Path) -> None:
    objects = Overtaken(Store(tmp_path / "root"))
    objects.create_bucket("bkt")
    uploads = Uploads(objects, least=1)
    upload = uploads.get("bkt", "big", uploads.create("bkt", "big", Attributes(), "", ""))
    first = uploads.put_part(upload, 1, Incoming(io.BytesIO(b"good"), 4))
    objects.before.append(lambda: uploads.put_part(upload, 2, Incoming(io.BytesIO(b"late"), 4)))
    stored = uploads.complete(upload, [ListedPart(1, first.etag, {})], Completion())
    assert (stored.path.name == first.file, stored.path.read_bytes()) == (False, b"good")
    assert blob_files(tmp_path) == [stored.path]


def test_a_body_longer_than_announced_leaves_the_next_part_alone(objects: ObjectStore) -> None:
    uploads = Uploads(objects, least=1)
    upload = uploads.get("bkt", "big", uploads.create("bkt", "big", Attributes(), "", ""))
    uploads.put_part(upload, 1, Incoming(io.BytesIO(b"1111"), 4))
    uploads.put_part(upload, 3, Incoming(io.BytesIO(b"3333"), 4))
    with pytest.raises(ServiceError, match="longer than its announced length"):
        uploads.put_part(upload, 2, Incoming(io.BytesIO(b"2222 and more"), 4))
    uploads.put_part(upload, 2, Incoming(io.BytesIO(b"2222"), 4))
    listed = [ListedPart(found.number, found.etag, {}) for found in uploads.parts(upload).values()]
    assert uploads.complete(upload, listed, Completion()).path.read_bytes() == b"111122223333"


def test_a_part_of_a_completed_object_can_be_read_and_described_alone(s3: Any) -> None:
    upload = start(s3, ChecksumAlgorithm="SHA256")
    pieces = [b"x" * 5 * MIB, b"end"]
    sent = [
        {
            "PartNumber": number,
            **pick(
                s3.upload_part(**where(upload), PartNumber=number, Body=piece, ChecksumAlgorithm="SHA256")
            ),
        }
        for number, piece in enumerate(pieces, 1)
    ]
    complete(s3, upload, sent)
    found = s3.get_object(Bucket="bkt", Key="big", PartNumber=2, ChecksumMode="ENABLED")
    assert (found["Body"].read(), found["PartsCount"]) == (b"end", 2)
    assert found["ContentRange"] == f"bytes {5 * MIB}-{5 * MIB + 2}/{5 * MIB + 3}"
    assert found["ChecksumSHA256"] == sent[1]["ChecksumSHA256"]
    assert s3.head_object(Bucket="bkt", Key="big", PartNumber=1)["ContentLength"] == 5 * MIB
    assert code_of(lambda: s3.get_object(Bucket="bkt", Key="big", PartNumber=3))[0] == "InvalidPartNumber"
    both = {"PartNumber": 1, "Range": "bytes=0-1"}
    assert code_of(lambda: s3.get_object(Bucket="bkt", Key="big", **both))[0] == "InvalidRequest"
    told = s3.get_object_attributes(
        Bucket="bkt",
        Key="big",
        ObjectAttributes=["ETag", "Checksum", "ObjectParts", "ObjectSize"],
        MaxParts=1,
    )
    assert (told["ObjectSize"], told["ObjectParts"]["TotalPartsCount"]) == (5 * MIB + 3, 2)
    assert told["ObjectParts"]["IsTruncated"] is True
    assert [found["Size"] for found in told["ObjectParts"]["Parts"]] == [5 * MIB]
    assert told["Checksum"]["ChecksumType"] == "COMPOSITE"
    assert "StorageClass" not in told


def test_an_object_stored_at_once_is_its_own_first_part(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"whole")
    assert body_of(s3, "k", PartNumber=1) == b"whole"
    assert code_of(lambda: s3.get_object(Bucket="bkt", Key="k", PartNumber=2))[0] == "InvalidPartNumber"
    told = s3.get_object_attributes(Bucket="bkt", Key="k", ObjectAttributes=["ObjectParts", "StorageClass"])
    assert ("ObjectParts" in told, told["StorageClass"]) == (False, "STANDARD")


def test_a_range_of_another_object_becomes_a_part(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="source", Body=b"0123456789")
    upload = start(s3)
    copied = s3.upload_part_copy(
        **where(upload), PartNumber=1, CopySource="bkt/source", CopySourceRange="bytes=2-5"
    )
    complete(s3, upload, [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}])
    assert body_of(s3, "big") == b"2345"
    outside = {"CopySource": "bkt/source", "CopySourceRange": "bytes=2-10"}
    other = start(s3)
    assert code_of(lambda: s3.upload_part_copy(**where(other), PartNumber=1, **outside)) == (
        "InvalidArgument",
        400,
    )


@pytest.mark.parametrize(
    ("promised", "code"),
    [
        ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"),
        ({"ChecksumSHA256": "AAAAAA=="}, "BadDigest"),
        ({"MpuObjectSize": 4}, "InvalidRequest"),
    ],
)
def test_a_completed_object_must_be_what_was_promised(s3: Any, promised: dict[str, Any], code: str) -> None:
    upload = start(s3)
    parts = [part(s3, upload, 1, b"hello")]
    assert code_of(lambda: complete(s3, upload, parts, **promised)) == (code, 400)
    right = base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()
    complete(s3, upload, parts, ChecksumCRC32=right, MpuObjectSize=5)
    assert body_of(s3, "big") == b"hello"


def test_checksums_of_the_wrong_kind_are_refused(s3: Any) -> None:
    whole = {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"}
    assert code_of(lambda: start(s3, **whole)) == ("InvalidRequest", 400)
    upload = start(s3, ChecksumAlgorithm="SHA1")
    other = {"ChecksumSHA256": base64.b64encode(hashlib.sha256(b"x").digest()).decode()}
    assert code_of(lambda: part(s3, upload, 1, b"x", **other)) == ("InvalidRequest", 400)


def test_unfinished_uploads_are_listed_page_by_page(s3: Any) -> None:
    expected = [(key, start(s3, key)) for key in ("a", "b&c", "d") for _ in range(2)]
    pages = s3.get_paginator("list_multipart_uploads").paginate(
        Bucket="bkt", PaginationConfig={"PageSize": 1}
    )
    found = [(item["Key"], item["UploadId"]) for page in pages for item in page.get("Uploads", [])]
    assert sorted(found) == sorted(expected)
    assert [key for key, _ in found] == [key for key, _ in expected]


def test_a_full_object_checksum_is_that_of_all_bytes(s3: Any) -> None:
    upload = start(s3, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    first, last = b"x" * 5 * MIB, b"end"
    parts = [part(s3, upload, 1, first), part(s3, upload, 2, last)]
    done = complete(s3, upload, parts)
    expected = base64.b64encode(zlib.crc32(first + last).to_bytes(4, "big")).decode()
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (expected, "FULL_OBJECT")
