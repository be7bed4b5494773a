"""Tags of objects in the local S3, through boto3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.local.s3_calls import body_of, code_of, new_s3


@pytest.fixture
def s3(tmp_path: Path) -> Any:
    return new_s3(tmp_path)


def tags_of(s3: Any, key: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(Bucket="bkt", Key=key)["TagSet"]}


def tag_set(tags: dict[str, str]) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def test_tags_come_with_an_object_and_are_counted(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"x", Tagging="team=a%20b&empty=")
    assert tags_of(s3, "k") == {"team": "a b", "empty": ""}
    assert s3.get_object(Bucket="bkt", Key="k")["TagCount"] == 2
    assert s3.head_object(Bucket="bkt", Key="k")["TagCount"] == 2


def test_tags_are_replaced_and_removed_and_the_bytes_stay(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"x", Tagging="old=1", Metadata={"a": "1"})
    s3.put_object_tagging(Bucket="bkt", Key="k", Tagging=tag_set({"ü": "+-=._:/@"}))
    assert tags_of(s3, "k") == {"ü": "+-=._:/@"}
    s3.delete_object_tagging(Bucket="bkt", Key="k")
    assert tags_of(s3, "k") == {}
    assert "TagCount" not in s3.head_object(Bucket="bkt", Key="k")
    assert (body_of(s3, "k"), s3.head_object(Bucket="bkt", Key="k")["Metadata"]) == (b"x", {"a": "1"})


def test_a_copy_takes_the_tags_along_unless_told_otherwise(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"x", Tagging="a=1")
    source = {"Bucket": "bkt", "Key": "k"}
    s3.copy_object(Bucket="bkt", Key="kept", CopySource=source, MetadataDirective="REPLACE")
    s3.copy_object(Bucket="bkt", Key="new", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2")
    assert (tags_of(s3, "kept"), tags_of(s3, "new")) == ({"a": "1"}, {"b": "2"})


def test_an_upload_in_parts_keeps_the_tags_it_began_with(s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket="bkt", Key="k", Tagging="a=1")["UploadId"]
    where = {"Bucket": "bkt", "Key": "k", "UploadId": upload}
    etag = s3.upload_part(**where, PartNumber=1, Body=b"x")["ETag"]
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert tags_of(s3, "k") == {"a": "1"}


def test_a_new_object_of_the_key_does_not_inherit_the_tags(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"x", Tagging="a=1")
    s3.put_object(Bucket="bkt", Key="k", Body=b"y")
    assert tags_of(s3, "k") == {}


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({f"k{number}": "" for number in range(11)}, "BadRequest"),
        ({"k" * 129: ""}, "InvalidTag"),
        ({"k": "v" * 257}, "InvalidTag"),
        ({"k?": ""}, "InvalidTag"),
        ({"aws:mine": ""}, "InvalidTag"),
    ],
)
def test_tags_beyond_the_rules_are_refused(s3: Any, tags: dict[str, str], code: str) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"x", Tagging="a=1")
    refused = code_of(lambda: s3.put_object_tagging(Bucket="bkt", Key="k", Tagging=tag_set(tags)))
    assert refused == (code, 400)
    assert tags_of(s3, "k") == {"a": "1"}


@pytest.mark.parametrize(("header", "code"), [("a=1&a=2", "InvalidArgument"), ("a", "InvalidArgument")])
def test_a_header_that_is_no_set_of_tags_is_refused(s3: Any, header: str, code: str) -> None:
    refused = code_of(lambda: s3.put_object(Bucket="bkt", Key="k", Body=b"x", Tagging=header))
    assert refused == (code, 400)


def test_two_tags_of_one_name_are_refused(s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"x")
    twice = {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}
    assert code_of(lambda: s3.put_object_tagging(Bucket="bkt", Key="k", Tagging=twice)) == ("InvalidTag", 400)


def test_tags_of_nothing_are_missing(s3: Any) -> None:
    assert code_of(lambda: s3.get_object_tagging(Bucket="bkt", Key="no")) == ("NoSuchKey", 404)
    assert code_of(lambda: s3.delete_object_tagging(Bucket="bkt", Key="no")) == ("NoSuchKey", 404)
