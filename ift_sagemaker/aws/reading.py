"""Objects of S3 read as files: a stream that can seek, and goes on after a connection that broke."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import IO, Any, cast

from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from ift_sagemaker.aws.errors import translated
from ift_sagemaker.aws.transfer import split_uri
from ift_sagemaker.errors import ResourceNotFoundError, ServiceUnavailableError

ATTEMPTS = 4
_BUFFER = 1 << 20


class S3Files:
    """Objects as the files that rows are read from; in any bucket that the identity may read."""

    def __init__(self, s3: Callable[[], Any]) -> None:
        self._s3 = s3

    def files(self, address: str) -> Sequence[str] | None:
        """Addresses directly below a prefix, in the order of names; None where the address is an object.

        Raises ResourceNotFoundError where there is neither.
        """
        bucket, key = split_uri(address)
        if key and not key.endswith("/") and self._is_object(bucket, key):
            return None
        prefix = key if not key or key.endswith("/") else f"{key}/"
        found: list[str] = []
        with translated("ListObjectsV2"):
            pages = self._s3().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
                found += [entry["Key"] for entry in page.get("Contents", ()) if entry["Key"] != prefix]
        if not found:
            raise ResourceNotFoundError(
                f"{address} is no object, and none lies directly below it",
                operation="ListObjectsV2",
                code="NoSuchKey",
            )
        return [f"s3://{bucket}/{name}" for name in sorted(found)]

    def stamps(self, addresses: Sequence[str]) -> dict[str, tuple[str, int]]:
        """(ETag, bytes) of every object, which tell whether it is the same; one call for each.

        Raises ResourceNotFoundError for one that is not there.
        """
        found = {}
        for address in dict.fromkeys(addresses):
            bucket, key = split_uri(address)
            with translated("HeadObject"):
                head = self._s3().head_object(Bucket=bucket, Key=key)
            found[address] = (str(head["ETag"]), int(head["ContentLength"]))
        return found

    def open(self, address: str) -> IO[bytes]:
        """The object's bytes, which come as they are read; ResourceNotFoundError where there is none."""
        bucket, key = split_uri(address)
        return cast("IO[bytes]", io.BufferedReader(_ObjectStream(self._s3(), bucket, key), _BUFFER))

    def _is_object(self, bucket: str, key: str) -> bool:
        try:
            with translated("HeadObject"):
                self._s3().head_object(Bucket=bucket, Key=key)
        except ResourceNotFoundError:
            return False
        return True


class _ObjectStream(io.RawIOBase):
    """One object from the place that is asked for on; the same object to the end (its ETag is checked)."""

    def __init__(self, s3: Any, bucket: str, key: str) -> None:
        self._s3, self._where = s3, {"Bucket": bucket, "Key": key}
        with translated("HeadObject"):
            head = s3.head_object(**self._where)
        self._size, self._etag = int(head["ContentLength"]), head["ETag"]
        self._at, self._body = 0, None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset != self._at:
            self._hang_up()
            self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        data = self._read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _read(self, size: int) -> bytes:
        reason: Exception | None = None
        for _ in range(ATTEMPTS):
            try:
                data: bytes = self._opened().read(size)
                if data:
                    return data
            except (HTTPError, BotoCoreError, OSError) as error:  # botocore hands urllib3's on while it reads
                reason = error
            self._hang_up()
        raise ServiceUnavailableError(
            f"GetObject: s3://{self._where['Bucket']}/{self._where['Key']} broke off at byte {self._at} of "
            f"{self._size}, {ATTEMPTS} times: {reason or 'the answer ended'}",
            operation="GetObject",
        )

    def _opened(self) -> Any:
        if self._body is None:
            with translated("GetObject"):
                answer = self._s3.get_object(
                    **self._where, IfMatch=self._etag, Range=f"bytes={self._at}-{self._size - 1}"
                )
            self._body = answer["Body"]
        return self._body

    def _hang_up(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()
