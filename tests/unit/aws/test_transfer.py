"""Objects are whole or absent, on both sides."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ift_sagemaker import local
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.transfer import raise_disk_error, renamed_when_whole, split_uri
from ift_sagemaker.data.sending.outgoing import hashed
from ift_sagemaker.errors import (
    AccessDeniedError,
    ConfigError,
    RequestRejectedError,
    ResourceNotFoundError,
    StorageError,
)


def test_an_address_has_bucket_and_key() -> None:
    assert split_uri("s3://bucket/a/b c.txt") == ("bucket", "a/b c.txt")


@pytest.mark.parametrize("uri", ["http://bucket/key", "bucket/key", "s3://"])
def test_another_address_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="S3 address"):
        split_uri(uri)


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    with renamed_when_whole(target) as partial:
        partial.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing was left"), renamed_when_whole(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_any_other_error_leaves_nothing_either(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), renamed_when_whole(tmp_path / "file"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_is_not_the_disks_stays_itself(tmp_path: Path) -> None:
    error = OSError(errno.EPIPE, "broken pipe")
    raise_disk_error(error, tmp_path)
    with pytest.raises(OSError, match="broken pipe") as caught, renamed_when_whole(tmp_path / "file"):
        raise error
    assert caught.value is error


def test_all_objects_below_a_prefix_become_files_and_none_outside_of_the_folder(tmp_path: Path) -> None:
    objects = AWSClient(local.boto3_session(tmp_path / "aws")).objects
    objects.ensure_bucket("bucket", "us-east-1")
    for key in ("model/config.json", "model/sub/weights", "modelling"):
        objects.send("bucket", key, hashed("key", key.encode()))
    objects.get_all("s3://bucket/model/", tmp_path / "out")
    files = (path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert {path.relative_to(tmp_path / "out").as_posix() for path in files} == {"config.json", "sub/weights"}
    assert (tmp_path / "out" / "sub" / "weights").read_bytes() == b"model/sub/weights"
    objects.send("bucket", "bad/../../secret", hashed("key", b"x"))
    with pytest.raises(StorageError, match="outside of"):
        objects.get_all("s3://bucket/bad/", tmp_path / "bad")
    local.reset()


def test_a_bucket_that_refuses_is_an_error_of_aws_with_its_code_and_what_to_do(tmp_path: Path) -> None:
    session = local.boto3_session(tmp_path)
    client = AWSClient(session)
    with pytest.raises(ResourceNotFoundError, match="aws s3 mb s3://no-such-bucket") as caught:
        client.objects.send("no-such-bucket", "key", hashed("key", b"x"))
    assert caught.value.code == "NoSuchBucket"
    stranger = client.objects.of("999999999999")
    client.objects.ensure_bucket("bucket", "us-east-1")
    with pytest.raises(AccessDeniedError, match=r"account 999999999999 .*--owner"):
        stranger.send("bucket", "key", hashed("key", b"x"))
    with pytest.raises(AccessDeniedError):
        stranger.ensure_bucket("bucket", "us-east-1")


def test_a_bucket_made_here_ends_unfinished_uploads_after_a_day(tmp_path: Path) -> None:
    client = AWSClient(local.boto3_session(tmp_path))
    client.objects.ensure_bucket("bucket", "us-east-1")
    s3 = local.boto3_session(tmp_path).client("s3")
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket="bucket")["Rules"]
    assert (rule["Status"], rule["AbortIncompleteMultipartUpload"]) == (
        "Enabled",
        {"DaysAfterInitiation": 1},
    )


def test_an_object_comes_back_as_it_was_sent(tmp_path: Path) -> None:
    objects = AWSClient(local.boto3_session(tmp_path / "aws")).objects
    objects.ensure_bucket("bucket", "us-east-1")
    objects.send("bucket", "key", hashed("key", b"content"))
    objects.get("s3://bucket/key", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"content"


def test_an_object_is_copied_within_s3_whole_and_one_of_another_size_is_refused(tmp_path: Path) -> None:
    objects = AWSClient(local.boto3_session(tmp_path / "aws")).objects
    objects.ensure_bucket("bucket", "us-east-1")
    large = b"0123456789abcdef" * (9 << 16)  # more than boto3 copies at once
    for key, content in (("small", b"content"), ("large", large), ("empty", b"")):
        objects.send("bucket", key, hashed(key, content))
        objects.copy(f"s3://bucket/{key}", f"s3://bucket/copies/{key}", len(content))
        objects.get(f"s3://bucket/copies/{key}", tmp_path / key)
        assert (tmp_path / key).read_bytes() == content
    with pytest.raises(RequestRejectedError, match="has 7 bytes, s3://bucket/small has 8"):
        objects.copy("s3://bucket/small", "s3://bucket/copies/small", 8)
    with pytest.raises(ResourceNotFoundError):
        objects.copy("s3://bucket/none", "s3://bucket/copies/none", 0)
