"""The bytes of several parts, one after the other, each compared with its CRC32 as it goes by."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Self

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.protocol.request import read_into
from ift_sagemaker.local.s3 import digests
from ift_sagemaker.local.s3.files import blocks
from ift_sagemaker.local.s3.grid import Part


class Joined:
    """The parts of an upload as one stream; `path` gives the place of a part's file.

    Raises a ServiceError InvalidPart while reading, at the end of a part that is damaged.
    """

    def __init__(self, upload: str, parts: Sequence[Part], path: Callable[[str], Path]) -> None:
        self._upload = upload
        self._parts: Iterator[Part] = iter(parts)
        self._path = path
        self._part: Part | None = None
        self._left = 0
        self._file: BinaryIO | None = None
        self._name = ""
        self._running = digests.start("crc32")

    def __enter__(self) -> Self:
        self._begin_next()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def readinto(self, buffer: memoryview, /) -> int:
        while self._part is not None:
            wanted = buffer[: self._left]
            got = read_into(self._file, wanted) if self._file and wanted else 0
            if got:
                self._left -= got
                self._running.update(wanted[:got])
                return got
            self._check(self._part)
            self._begin_next()
        return 0

    def _begin_next(self) -> None:
        self._part = next(self._parts, None)
        if self._part is not None:
            self._left = self._part.size
            self._running = digests.start("crc32")
            self._open(self._part).seek(self._part.offset)

    def _open(self, part: Part) -> BinaryIO:
        """The file of the part; the one at hand where the last part lies in it too."""
        if self._file is None or self._name != part.file:
            self.__exit__()
            try:
                self._file = self._path(part.file).open("rb", buffering=0)
            except FileNotFoundError:  # completed or aborted by another just now
                raise no_such_upload(self._upload) from None
            self._name = part.file
        return self._file

    def _check(self, part: Part) -> None:
        if self._left or digests.encode(self._running.digest()) != part.checksums["crc32"]:
            message = f"Part {part.number} was damaged on the disk since it was uploaded; upload it again"
            raise ServiceError("InvalidPart", message, 400)


def compare(upload: str, parts: Sequence[Part], path: Callable[[str], Path]) -> None:
    """Reads all parts, several at once, and raises a ServiceError InvalidPart for one that is damaged."""

    def read(part: Part) -> None:
        with Joined(upload, [part], path) as joined:
            for _ in blocks(joined):
                pass

    with ThreadPoolExecutor(os.cpu_count()) as readers:
        for _ in readers.map(read, parts):
            pass


def no_such_upload(upload: str) -> ServiceError:
    message = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been"
        " aborted or completed."
    )
    return ServiceError("NoSuchUpload", message, 404, {"UploadId": upload})
