"""Objects to and from S3: sent once, checked end to end, moved in place only when whole."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ift_sagemaker.aws.errors import translated
from ift_sagemaker.errors import ConfigError, ResourceInUseError, ResourceNotFoundError, StorageError

CHECKSUM_METADATA = "ift-sha256"
Progress = Callable[[int], None]


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` address; raises ConfigError for anything else."""
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigError(f"{uri!r} is no S3 address", field="s3_uri", value=uri, allowed="s3://bucket/key")
    return parts.netloc, parts.path.lstrip("/")


class Objects:
    """S3 of one account. Every call names the bucket's expected owner."""

    def __init__(self, s3: Callable[[], Any], owner: str) -> None:
        self._s3 = s3
        self._owner = owner

    def size(self, bucket: str, key: str, sha256: str | None = None) -> int | None:
        """Size in bytes; None where there is no such object, or none of this content."""
        try:
            with translated("HeadObject"):
                head = self._s3().head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=self._owner)
        except ResourceNotFoundError:
            return None
        if sha256 is not None and head.get("Metadata", {}).get(CHECKSUM_METADATA) != sha256:
            return None
        return int(head["ContentLength"])

    def put(
        self, bucket: str, key: str, source: Path | bytes, sha256: str, progress: Progress | None
    ) -> None:
        """Sends one object; large files in parallel parts, each with its checksum."""
        extra = {"Metadata": {CHECKSUM_METADATA: sha256}, "ExpectedBucketOwner": self._owner}
        opened = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        with opened as stream, translated("PutObject"):
            # not upload_file, which hides AWS's answer behind an error of its own
            self._s3().upload_fileobj(stream, bucket, key, ExtraArgs=extra, Callback=progress)

    def get(self, uri: str, target: Path, progress: Progress | None = None) -> None:
        """Writes the object to `target`, which appears only when it is whole."""
        bucket, key = split_uri(uri)
        with renamed_when_whole(target) as partial, translated("GetObject"):
            self._s3().download_file(
                bucket, key, str(partial), ExtraArgs={"ExpectedBucketOwner": self._owner}, Callback=progress
            )

    def ensure_bucket(self, bucket: str, region: str) -> None:
        """Makes the bucket where it is missing; one of somebody else is AccessDeniedError."""
        try:
            with translated("HeadBucket"):
                self._s3().head_bucket(Bucket=bucket, ExpectedBucketOwner=self._owner)
        except ResourceNotFoundError:
            where = (
                {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            )
            # two first runs at once: the other one made it
            with suppress(ResourceInUseError), translated("CreateBucket"):
                self._s3().create_bucket(Bucket=bucket, **where)


@contextmanager
def renamed_when_whole(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that takes its name at the end, or is removed on any error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise_disk_error(error, target)
        raise
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def raise_disk_error(error: OSError, path: Path) -> None:
    """Raises StorageError where the disk is the cause of the error."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}:
        raise StorageError(
            f"cannot write {path}: {error.strerror}; nothing was left under its name", path=str(path)
        ) from error
