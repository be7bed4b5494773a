"""Objects are whole or absent, on both sides."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ift_sagemaker.aws.transfer import disk_error, renamed_when_whole, split_uri
from ift_sagemaker.errors import ConfigError, StorageError


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
    assert disk_error(error, tmp_path) is error
