"""Objects to and from S3: sent once, checked end to end, moved in place only when whole."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ift_sagemaker.aws.errors import translated
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.aws.upload import ObjectUpload, Progress, Sending, Sent
from ift_sagemaker.data.sending.outgoing import Outgoing
from ift_sagemaker.errors import (
    AccessDeniedError,
    AWSError,
    ConfigError,
    RequestRejectedError,
    ResourceInUseError,
    ResourceNotFoundError,
    StorageError,
)

ABORT_RULE = {
    "ID": "ift-abort-unfinished-uploads",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
}
"""What a killed upload leaves is invisible and billed; this ends it after a day."""


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` address; raises ConfigError for anything else."""
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigError(
            f"{uri!r} is no S3 address: write s3://bucket/key",
            field="s3_uri",
            value=uri,
            allowed="s3://bucket/key",
        )
    return parts.netloc, parts.path.lstrip("/")


class Objects:
    """S3 of one account. Every call names the bucket's expected owner."""

    def __init__(self, s3: Callable[[], Any], owner: str) -> None:
        self._s3 = s3
        self._owner = owner

    def of(self, owner: str) -> Objects:
        """S3 of another account's buckets."""
        return Objects(self._s3, owner)

    def send(
        self,
        bucket: str,
        key: str,
        item: Outgoing,
        *,
        sending: Sending | None = None,
        patience: Patience | None = None,
        on_bytes: Progress | None = None,
    ) -> Sent:
        """Sends one object, unless it is there already; see `ObjectUpload.send`."""
        with _explained(bucket, self._owner):
            return ObjectUpload(
                self._s3(),
                self._owner,
                bucket,
                key,
                item,
                sending or Sending(),
                patience or Patience(),
                on_bytes,
            ).send()

    def get(self, uri: str, target: Path, progress: Progress | None = None) -> None:
        """Writes the object to `target`, which appears only when it is whole."""
        bucket, key = split_uri(uri)
        with renamed_when_whole(target) as partial, translated("GetObject"):
            self._s3().download_file(
                bucket, key, str(partial), ExtraArgs={"ExpectedBucketOwner": self._owner}, Callback=progress
            )

    def copy(self, uri: str, target: str, size: int) -> None:
        """Copies an object of `size` bytes within S3, in parts where it is large.

        Raises RequestRejectedError where what is there afterwards has another size.
        """
        (source_bucket, source_key), (bucket, key) = split_uri(uri), split_uri(target)
        with _explained(bucket, self._owner), translated("CopyObject"):
            self._s3().copy(
                {"Bucket": source_bucket, "Key": source_key},
                bucket,
                key,
                ExtraArgs={"ExpectedBucketOwner": self._owner},
            )
        with translated("HeadObject"):
            head = self._s3().head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=self._owner)
        if head["ContentLength"] != size:
            raise RequestRejectedError(
                f"{target} has {head['ContentLength']} bytes, {uri} has {size}", operation="CopyObject"
            )

    def get_all(self, uri: str, folder: Path, progress: Progress | None = None) -> None:
        """Writes every object below a prefix (`s3://bucket/prefix/`) into `folder`, which is made.

        Raises StorageError for a key that would be a file outside of it.
        """
        bucket, prefix = split_uri(uri)
        folder.mkdir(parents=True)
        with translated("ListObjectsV2"):
            pages = self._s3().get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=bucket, Prefix=prefix, ExpectedBucketOwner=self._owner)
            keys = [entry["Key"] for page in found for entry in page.get("Contents", ())]
        for key in keys:
            if key.endswith("/"):
                continue
            target = folder / key.removeprefix(prefix)
            if not target.resolve().is_relative_to(folder.resolve()):
                raise StorageError(
                    f"s3://{bucket}/{key} would be a file outside of {folder}", path=str(folder)
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            self.get(f"s3://{bucket}/{key}", target, progress)

    def ensure_bucket(self, bucket: str, region: str) -> None:
        """Makes the bucket where it is missing, with a rule that ends unfinished uploads.

        Raises AccessDeniedError for a bucket of somebody else.
        """
        try:
            with _explained(bucket, self._owner), translated("HeadBucket"):
                self._s3().head_bucket(Bucket=bucket, ExpectedBucketOwner=self._owner)
        except ResourceNotFoundError:
            where = (
                {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            )
            # two first runs at once: the other one made it
            with suppress(ResourceInUseError), translated("CreateBucket"):
                self._s3().create_bucket(Bucket=bucket, **where)
            # a role that may make buckets need not be one that may rule what they keep
            with suppress(AccessDeniedError), translated("PutBucketLifecycleConfiguration"):
                self._s3().put_bucket_lifecycle_configuration(
                    Bucket=bucket,
                    ExpectedBucketOwner=self._owner,
                    LifecycleConfiguration={"Rules": [ABORT_RULE]},
                )


@contextmanager
def _explained(bucket: str, owner: str) -> Iterator[None]:
    """Adds to AWS's few words about a bucket what to do next."""
    try:
        yield
    except ResourceNotFoundError as error:
        raise _with(
            error,
            f"there is no bucket {bucket}: make it (`aws s3 mb s3://{bucket}`), or name none and the default "
            f"bucket is made ({error})",
        ) from error
    except AccessDeniedError as error:
        raise _with(
            error,
            f"bucket {bucket} refuses this identity. Either it does not belong to account {owner} (name its "
            "owner: --owner, owner=), or the identity lacks one of s3:GetObject, s3:PutObject, s3:ListBucket "
            f"and s3:AbortMultipartUpload there, or kms:GenerateDataKey and kms:Decrypt on its key ({error})",
        ) from error


def _with(error: AWSError, message: str) -> AWSError:
    return type(error)(message, operation=error.operation, code=error.code, request_id=error.request_id)


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
