"""S3 of the local AWS, through boto3: objects, listings, multipart uploads, checksums, refusals."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.local import boto3_session
from tests.unit.local.s3_calls import blob_files, body_of, code_of, keys, md5, new_s3

MIB = 1 << 20


@pytest.fixture
def s3(tmp_path: Path) -> Any:
    return new_s3(tmp_path)


# objects


def test_an_object_comes_back_with_its_metadata_and_headers(s3: Any) -> None:
    s3.put_object(
        Bucket="bkt",
        Key="k",
        Body=b"hello",
        ContentType="text/plain",
        CacheControl="no-cache",
        ContentEncoding="gzip",
        Metadata={"Made-By": "us"},
    )
    head = s3.head_object(Bucket="bkt", Key="k")
    found = s3.get_object(Bucket="bkt", Key="k")
    assert found["Body"].read() == b"hello"
    for answer in (head, found):
        assert answer["ContentType"] == "text/plain"
        assert answer["CacheControl"] == "no-cache"
        assert answer["ContentEncoding"] == "gzip"
        assert answer["Metadata"] == {"made-by": "us"}
        assert answer["ContentLength"] == 5
        assert answer["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'  # noqa: S324 - S3's ETag
        assert abs(answer["LastModified"] - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("key", ["a b/ü+%41?&=#.txt", "//x//", "a/../b", ".", "tab\tnew\nline", "\U0001f600"])
def test_any_key_can_be_stored_listed_read_and_deleted(s3: Any, key: str) -> None:
    s3.put_object(Bucket="bkt", Key=key, Body=b"x")
    assert keys(s3.list_objects_v2(Bucket="bkt")) == [key]
    assert body_of(s3, key) == b"x"
    s3.delete_object(Bucket="bkt", Key=key)
    assert keys(s3.list_objects_v2(Bucket="bkt")) == []


def test_content_type_defaults_to_what_s3_says(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"")
    assert s3.head_object(Bucket="bkt", Key="k")["ContentType"] == "binary/octet-stream"


@pytest.mark.parametrize(
    ("asked", "expected", "content_range"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=0-0", b"0", "bytes 0-0/10"),
    ],
)
def test_a_range_gives_exactly_its_bytes(s3: Any, asked: str, expected: bytes, content_range: str) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"0123456789")
    found = s3.get_object(Bucket="bkt", Key="k", Range=asked)
    assert found["Body"].read() == expected
    assert found["ContentRange"] == content_range
    assert found["ContentLength"] == len(expected)
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 206


@pytest.mark.parametrize("asked", ["bytes=5-3", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1"])
def test_a_range_that_s3_does_not_read_gives_the_whole_object(s3: Any, asked: str) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"0123456789")
    assert body_of(s3, "k", Range=asked) == b"0123456789"


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=-0", "bytes=99-100"])
def test_a_range_beyond_the_object_is_refused(s3: Any, asked: str) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"0123456789")
    assert code_of(lambda: s3.get_object(Bucket="bkt", Key="k", Range=asked)) == ("InvalidRange", 416)


def test_reads_obey_their_conditions(s3: Any) -> None:
    etag = s3.put_object(Bucket="bkt", Key="k", Body=b"x")["ETag"]
    past, future = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    assert body_of(s3, "k", IfMatch=etag, IfNoneMatch='"other"', IfModifiedSince=past) == b"x"
    for params, expected in (
        ({"IfMatch": '"other"'}, ("PreconditionFailed", 412)),
        ({"IfUnmodifiedSince": past}, ("PreconditionFailed", 412)),
        ({"IfNoneMatch": etag}, ("304", 304)),
        ({"IfModifiedSince": future}, ("304", 304)),
    ):
        assert code_of(lambda params=params: s3.get_object(Bucket="bkt", Key="k", **params)) == expected  # type: ignore[misc]
    assert code_of(lambda: s3.head_object(Bucket="bkt", Key="k", IfNoneMatch=etag)) == ("304", 304)


def test_a_write_only_if_absent_is_refused_where_the_key_is_taken(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"first", IfNoneMatch="*")
    refused = code_of(lambda: s3.put_object(Bucket="bkt", Key="k", Body=b"second", IfNoneMatch="*"))
    assert refused == ("PreconditionFailed", 412)
    assert body_of(s3, "k") == b"first"


def test_a_write_only_if_unchanged_wants_the_etag_that_is_there(s3: Any) -> None:
    etag = s3.put_object(Bucket="bkt", Key="k", Body=b"first")["ETag"]
    s3.put_object(Bucket="bkt", Key="k", Body=b"second", IfMatch=etag)
    refused = code_of(lambda: s3.put_object(Bucket="bkt", Key="k", Body=b"third", IfMatch=etag))
    assert refused == ("PreconditionFailed", 412)
    absent = code_of(lambda: s3.put_object(Bucket="bkt", Key="none", Body=b"", IfMatch=etag))
    assert absent == ("NoSuchKey", 404)


def test_missing_things_have_their_codes(s3: Any) -> None:
    assert code_of(lambda: s3.get_object(Bucket="bkt", Key="no")) == ("NoSuchKey", 404)
    assert code_of(lambda: s3.get_object(Bucket="absent", Key="no")) == ("NoSuchBucket", 404)
    assert code_of(lambda: s3.head_object(Bucket="bkt", Key="no")) == ("404", 404)
    assert code_of(lambda: s3.head_bucket(Bucket="absent")) == ("404", 404)
    assert code_of(lambda: s3.list_objects_v2(Bucket="absent")) == ("NoSuchBucket", 404)
    assert code_of(lambda: s3.delete_object(Bucket="absent", Key="k")) == ("NoSuchBucket", 404)


def test_deleting_a_key_that_is_not_there_succeeds(s3: Any) -> None:
    assert s3.delete_object(Bucket="bkt", Key="no")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_delete_objects_deletes_many_and_tells_each_unless_quiet(s3: Any) -> None:
    for key in ("a", "b & <c>", "d"):
        s3.put_object(Bucket="bkt", Key=key, Body=b"")
    told = s3.delete_objects(Bucket="bkt", Delete={"Objects": [{"Key": "a"}, {"Key": "b & <c>"}]})
    assert [item["Key"] for item in told["Deleted"]] == ["a", "b & <c>"]
    quiet = s3.delete_objects(Bucket="bkt", Delete={"Objects": [{"Key": "d"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert keys(s3.list_objects_v2(Bucket="bkt")) == []


def test_delete_objects_deletes_all_or_nothing(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="a", Body=b"")
    versioned = [{"Key": "a"}, {"Key": "b", "VersionId": "7"}]
    refused = code_of(lambda: s3.delete_objects(Bucket="bkt", Delete={"Objects": versioned}))
    assert refused == ("NotImplemented", 501)
    assert keys(s3.list_objects_v2(Bucket="bkt")) == ["a"]
    only = {"Objects": [{"Key": "a", "VersionId": "null"}]}
    assert [item["Key"] for item in s3.delete_objects(Bucket="bkt", Delete=only)["Deleted"]] == ["a"]
    absent = code_of(lambda: s3.delete_objects(Bucket="absent", Delete=only))
    assert absent == ("NoSuchBucket", 404)


def test_a_copy_only_if_absent_is_refused_where_the_key_is_taken(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="a", Body=b"new")
    s3.copy_object(Bucket="bkt", Key="b", CopySource="bkt/a", IfNoneMatch="*")
    refused = code_of(lambda: s3.copy_object(Bucket="bkt", Key="b", CopySource="bkt/a", IfNoneMatch="*"))
    assert refused == ("PreconditionFailed", 412)


def test_metadata_beyond_two_kilobytes_is_refused(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"", Metadata={"a": "x" * 2047})
    refused = code_of(lambda: s3.put_object(Bucket="bkt", Key="k", Body=b"", Metadata={"a": "x" * 2048}))
    assert refused == ("MetadataTooLarge", 400)


def test_copy_keeps_the_metadata_or_replaces_it(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="ü & +", Body=b"x", Metadata={"a": "1"}, ContentType="text/plain")
    source = {"Bucket": "bkt", "Key": "ü & +"}
    kept = s3.copy_object(Bucket="bkt", Key="kept", CopySource=source)["CopyObjectResult"]
    s3.copy_object(
        Bucket="bkt", Key="new", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"}
    )
    assert body_of(s3, "kept") == b"x"
    assert kept["ETag"] == s3.head_object(Bucket="bkt", Key="kept")["ETag"]
    assert s3.head_object(Bucket="bkt", Key="kept")["Metadata"] == {"a": "1"}
    assert s3.head_object(Bucket="bkt", Key="new")["Metadata"] == {"b": "2"}


def test_a_copy_outlives_its_source(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="a", Body=b"x")
    s3.copy_object(Bucket="bkt", Key="b", CopySource="bkt/a")
    s3.delete_object(Bucket="bkt", Key="a")
    assert body_of(s3, "b") == b"x"


def test_copies_are_refused_onto_themselves_and_from_a_changed_source(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="a", Body=b"x")

    def copy(**params: Any) -> Callable[[], object]:
        return lambda: s3.copy_object(**{"Bucket": "bkt", "Key": "b", "CopySource": "bkt/a", **params})

    assert code_of(copy(Key="a")) == ("InvalidRequest", 400)
    assert code_of(copy(CopySource="bkt/no")) == ("NoSuchKey", 404)
    assert code_of(copy(CopySourceIfMatch='"other"')) == ("PreconditionFailed", 412)
    assert code_of(copy(CopySource="bkt/a?versionId=7")) == ("NotImplemented", 501)


# checksums


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"ContentMD5": md5(b"other")}, "BadDigest"),
        ({"ContentMD5": "bm90IGFuIG1kNQ=="}, "InvalidDigest"),
        ({"ChecksumCRC32": base64.b64encode(zlib.crc32(b"other").to_bytes(4, "big")).decode()}, "BadDigest"),
        ({"ChecksumSHA256": base64.b64encode(hashlib.sha256(b"other").digest()).decode()}, "BadDigest"),
        (
            {"ChecksumSHA1": base64.b64encode(hashlib.sha1(b"other").digest()).decode()},  # noqa: S324 - one of S3's
            "BadDigest",
        ),
        ({"ChecksumCRC32": "not base64!"}, "InvalidRequest"),
    ],
)
def test_a_wrong_checksum_is_refused_and_leaves_nothing(
    s3: Any, tmp_path: Path, params: dict[str, str], code: str
) -> None:
    assert code_of(lambda: s3.put_object(Bucket="bkt", Key="k", Body=b"hello", **params)) == (code, 400)
    assert keys(s3.list_objects_v2(Bucket="bkt")) == []
    assert blob_files(tmp_path) == []


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_a_right_checksum_is_kept_and_given_back_to_readers(s3: Any, algorithm: str) -> None:
    sent = s3.put_object(Bucket="bkt", Key="k", Body=io.BytesIO(b"hello"), ChecksumAlgorithm=algorithm)
    found = s3.get_object(Bucket="bkt", Key="k", ChecksumMode="ENABLED")
    assert found["Body"].read() == b"hello"
    assert found[f"Checksum{algorithm}"] == sent[f"Checksum{algorithm}"]
    assert found["ChecksumType"] == "FULL_OBJECT"


def test_a_right_content_md5_is_accepted(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"hello", ContentMD5=md5(b"hello"))
    assert body_of(s3, "k") == b"hello"


def test_an_algorithm_that_cannot_be_verified_is_refused_not_believed(s3: Any) -> None:
    refused = code_of(
        lambda: s3.put_object(Bucket="bkt", Key="k", Body=b"x", ChecksumXXHASH64="AAAAAAAAAAA=")
    )
    assert refused == ("NotImplemented", 501)
    assert keys(s3.list_objects_v2(Bucket="bkt")) == []


# listings


@pytest.fixture
def listed(s3: Any) -> Any:
    for key in ("a", "b/1", "b/2", "b/c/3", "b0", "d/4"):
        s3.put_object(Bucket="bkt", Key=key, Body=key.encode())
    return s3


def prefixes(answer: Any) -> list[str]:
    return [item["Prefix"] for item in answer.get("CommonPrefixes", [])]


def test_a_delimiter_rolls_keys_up(listed: Any) -> None:
    top = listed.list_objects_v2(Bucket="bkt", Delimiter="/")
    inside = listed.list_objects_v2(Bucket="bkt", Delimiter="/", Prefix="b/")
    assert (keys(top), prefixes(top), top["KeyCount"]) == (["a", "b0"], ["b/", "d/"], 4)
    assert (keys(inside), prefixes(inside)) == (["b/1", "b/2"], ["b/c/"])


@pytest.mark.parametrize("operation", ["list_objects_v2", "list_objects"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_of_any_size_give_everything_once(listed: Any, operation: str, size: int) -> None:
    pages = list(
        listed.get_paginator(operation).paginate(
            Bucket="bkt", Delimiter="/", PaginationConfig={"PageSize": size}
        )
    )
    assert [key for page in pages for key in keys(page)] == ["a", "b0"]
    assert [prefix for page in pages for prefix in prefixes(page)] == ["b/", "d/"]
    assert all(len(keys(page)) + len(prefixes(page)) <= size for page in pages)


def test_start_after_begins_behind_a_key_that_need_not_exist(listed: Any) -> None:
    assert keys(listed.list_objects_v2(Bucket="bkt", StartAfter="b/1x")) == ["b/2", "b/c/3", "b0", "d/4"]


def test_no_keys_asked_for_is_an_empty_last_page(listed: Any) -> None:
    answer = listed.list_objects_v2(Bucket="bkt", MaxKeys=0)
    assert (answer["KeyCount"], answer["IsTruncated"]) == (0, False)


def test_a_forged_continuation_token_is_refused(listed: Any) -> None:
    refused = code_of(lambda: listed.list_objects_v2(Bucket="bkt", ContinuationToken="forged"))
    assert refused == ("InvalidArgument", 400)


def test_a_listing_tells_size_etag_and_time(listed: Any) -> None:
    (row,) = listed.list_objects_v2(Bucket="bkt", Prefix="d/")["Contents"]
    head = listed.head_object(Bucket="bkt", Key="d/4")
    assert (row["Size"], row["ETag"]) == (head["ContentLength"], head["ETag"])
    assert row["LastModified"].replace(microsecond=0) == head["LastModified"]


# buckets


def test_buckets_are_listed_located_and_deleted_when_empty(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"")
    assert code_of(lambda: s3.delete_bucket(Bucket="bkt")) == ("BucketNotEmpty", 409)
    assert s3.get_bucket_location(Bucket="bkt")["LocationConstraint"] is None
    s3.delete_object(Bucket="bkt", Key="k")
    s3.create_multipart_upload(Bucket="bkt", Key="unfinished")
    s3.delete_bucket(Bucket="bkt")
    assert s3.list_buckets()["Buckets"] == []


def test_buckets_are_listed_page_by_page(s3: Any) -> None:
    for name in ("abc", "xyz", "yza"):
        s3.create_bucket(Bucket=name)
    pages = list(s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 2}))
    names = [[bucket["Name"] for bucket in page["Buckets"]] for page in pages]
    assert names == [["abc", "bkt"], ["xyz", "yza"]]
    assert [bucket["Name"] for bucket in s3.list_buckets(Prefix="x")["Buckets"]] == ["xyz"]
    assert s3.list_buckets(BucketRegion="eu-west-1")["Buckets"] == []


def test_a_bucket_says_that_it_keeps_no_versions(s3: Any) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket="bkt")
    assert code_of(lambda: s3.get_bucket_versioning(Bucket="absent")) == ("NoSuchBucket", 404)


def test_waiters_see_buckets_and_objects(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"")
    s3.get_waiter("bucket_exists").wait(Bucket="bkt")
    s3.get_waiter("object_exists").wait(Bucket="bkt", Key="k")
    s3.get_waiter("object_not_exists").wait(Bucket="bkt", Key="other")


@pytest.mark.parametrize("name", ["Upper", "ab_c", "192.168.0.1", "a..b", "-ab", "xn--abc"])
def test_a_bucket_name_that_aws_refuses_is_refused(s3: Any, name: str) -> None:
    assert code_of(lambda: s3.create_bucket(Bucket=name)) == ("InvalidBucketName", 400)


def test_a_bucket_outside_us_east_1_must_name_its_region(tmp_path: Path) -> None:
    s3 = boto3_session(tmp_path, region="eu-west-1").client("s3")
    location = {"LocationConstraint": "eu-west-1"}
    refused = code_of(lambda: s3.create_bucket(Bucket="bkt"))
    assert refused == ("IllegalLocationConstraintException", 400)
    s3.create_bucket(Bucket="bkt", CreateBucketConfiguration=location)
    assert s3.get_bucket_location(Bucket="bkt")["LocationConstraint"] == "eu-west-1"
    assert s3.head_bucket(Bucket="bkt")["BucketRegion"] == "eu-west-1"
    again = code_of(lambda: s3.create_bucket(Bucket="bkt", CreateBucketConfiguration=location))
    assert again == ("BucketAlreadyOwnedByYou", 409)


def test_a_bucket_of_another_owner_is_denied(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"", ExpectedBucketOwner="123456789012")
    for call in (
        lambda: s3.get_object(Bucket="bkt", Key="k", ExpectedBucketOwner="999999999999"),
        lambda: s3.put_object(Bucket="bkt", Key="k", Body=b"x", ExpectedBucketOwner="999999999999"),
    ):
        assert code_of(call) == ("AccessDenied", 403)
    assert body_of(s3, "k") == b""


# what is not offered


@pytest.mark.parametrize(
    ("call", "params", "named"),
    [
        ("get_bucket_acl", {"Bucket": "bkt"}, "GetBucketAcl"),
        ("get_object_acl", {"Bucket": "bkt", "Key": "k"}, "GetObjectAcl"),
        ("list_object_versions", {"Bucket": "bkt"}, "ListObjectVersions"),
        ("put_bucket_policy", {"Bucket": "bkt", "Policy": "{}"}, "PutBucketPolicy"),
        ("get_bucket_policy", {"Bucket": "bkt"}, "GetBucketPolicy"),
        ("put_object", {"Bucket": "bkt", "Key": "k", "ACL": "public-read"}, "PutObject with x-amz-acl"),
        ("get_object", {"Bucket": "bkt", "Key": "k", "VersionId": "7"}, "GetObject with versionId"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(
    s3: Any, call: str, params: dict[str, Any], named: str
) -> None:
    with pytest.raises(ClientError, match=f"{named} is not offered by the local AWS") as raised:
        getattr(s3, call)(**params)
    assert raised.value.response["Error"]["Code"] == "NotImplemented"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
