"""Running checksums over bytes that pass by once."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from ift_sagemaker.local.protocol.errors import ServiceError

# what an object needs: MD5 for its ETag, CRC32 for a reader to check
ALWAYS = ("md5", "crc32")
# algorithms that S3 knows as x-amz-checksum-…, besides those below
KNOWN_TO_S3 = ("crc32", "crc32c", "crc64nvme", "sha1", "sha256")


class Digest(Protocol):
    """One running checksum; hashlib's objects are such."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class _CRC:
    """A CRC that is carried on by `function(data, previous)`."""

    def __init__(self, function: Callable[[bytes | memoryview, int], int], width: int) -> None:
        self._function = function
        self._width = width
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def verifiable() -> tuple[str, ...]:
    """The S3 checksum algorithms that this process can compute; awscrt, where installed, adds two."""
    own = ("crc32", "sha1", "sha256")
    return (*own, "crc32c", "crc64nvme") if find_spec("awscrt") else own


def start(algorithm: str) -> Digest:
    """A fresh digest.

    Raises:
        ServiceError: (501) the algorithm cannot be computed here, so no such checksum can be vouched for.
    """
    if algorithm == "crc32":
        return _CRC(zlib.crc32, 4)
    if algorithm in ("md5", "sha1", "sha256"):
        return hashlib.new(algorithm, usedforsecurity=False)
    if algorithm in ("crc32c", "crc64nvme") and algorithm in verifiable():
        checksums = import_module("awscrt.checksums")
        return _CRC(getattr(checksums, algorithm), 4 if algorithm == "crc32c" else 8)
    raise ServiceError(
        "NotImplemented",
        f"The checksum algorithm {algorithm.upper()} cannot be verified here, so it is refused."
        f" Use one of {', '.join(name.upper() for name in verifiable())}.",
        501,
    )


class Digests:
    """Several digests fed at once."""

    def __init__(self, wanted: Iterable[str]) -> None:
        self._running = {name: start(name) for name in dict.fromkeys(wanted)}

    def update(self, data: bytes | memoryview) -> None:
        for digest in self._running.values():
            digest.update(data)

    def results(self) -> dict[str, bytes]:
        """Algorithm to digest."""
        return {name: digest.digest() for name, digest in self._running.items()}


def encode(digest: bytes) -> str:
    """The Base64 text that S3's headers carry."""
    return base64.b64encode(digest).decode("ascii")


def decode(text: str, header: str) -> bytes:
    """The digest in a header's Base64 text; a ServiceError names a header that holds something else."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ServiceError("InvalidRequest", f"Value for {header} header is invalid.", 400) from None
