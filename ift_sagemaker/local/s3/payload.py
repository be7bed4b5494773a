"""The body of an S3 upload: its framing undone, its checksums verified while it streams by."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.protocol.request import Body, Request, Source, read_into
from ift_sagemaker.local.s3 import digests

_CHECKSUM = "x-amz-checksum-"
_NO_DIGEST = ("algorithm", "mode", "type")
_MAX_LINE = 16 << 10
_READ = 64 << 10
_HEX_SHA256_LENGTH = 64
_CHUNK_SIZE = re.compile(r"[0-9A-Fa-f]{1,15}")


class Payload:
    """Fills buffers with the decoded body of `request`; `verify` compares digests with all that was promised.

    Raises on construction:
        ServiceError: (501) a checksum of an algorithm that cannot be verified here.
    """

    def __init__(self, request: Request) -> None:
        self._headers = request.headers
        self._chunks = _AwsChunked(request.stream) if _is_aws_chunked(request.headers) else None
        self._source = self._chunks or _Exactly(request.stream, request.length)
        self.algorithms = tuple(_named_algorithms(request.headers))
        self._announced = stored_length(request.headers, request.length)
        self._size = 0
        self._sha256 = _signed_sha256(request.headers)
        for algorithm in self.algorithms:
            digests.start(algorithm)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The algorithms that `verify` needs, besides those always computed."""
        return (*self.algorithms, "sha256") if self._sha256 else self.algorithms

    def read(self, size: int, /) -> bytes:
        """For what is small, a document."""
        buffer = bytearray(min(size, _READ))
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def readinto(self, buffer: memoryview, /) -> int:
        got = self._source.readinto(buffer)
        self._size += got
        return got

    def verify(self, results: Mapping[str, bytes]) -> None:
        """Raises the ServiceError that S3 sends where a promised digest is not that of the bytes."""
        if self._announced not in (None, self._size):
            raise incomplete()
        self._verify_md5(results)
        if self._sha256 and results["sha256"].hex() != self._sha256:
            message = "The provided 'x-amz-content-sha256' header does not match what was computed."
            raise ServiceError("XAmzContentSHA256Mismatch", message, 400)
        for algorithm in self.algorithms:
            header = _CHECKSUM + algorithm
            if digests.decode(self._promised(header), header) != results[algorithm]:
                name = algorithm.upper()
                message = f"The {name} you specified did not match the calculated checksum."
                raise ServiceError("BadDigest", message, 400)

    def checksums(self, results: Mapping[str, bytes]) -> dict[str, str]:
        """What is kept with the object: the checksums that came with it, or else a CRC32."""
        return {name: digests.encode(results[name]) for name in self.algorithms or ("crc32",)}

    def verify_bytes(self, body: bytes) -> None:
        """`verify` for a body that was read whole."""
        running = digests.Digests((*digests.ALWAYS, *self.wanted))
        running.update(body)
        self.verify(running.results())

    def _verify_md5(self, results: Mapping[str, bytes]) -> None:
        promised = self._headers.get("content-md5")
        if promised is None:
            return
        expected = digests.decode(promised, "Content-MD5")
        if len(expected) != len(results["md5"]):
            raise ServiceError("InvalidDigest", "The Content-MD5 you specified is not valid.", 400)
        if expected != results["md5"]:
            message = "The Content-MD5 you specified did not match what we received."
            raise ServiceError("BadDigest", message, 400)

    def _promised(self, header: str) -> str:
        trailers = self._chunks.trailers if self._chunks else {}
        promised = self._headers.get(header) or trailers.get(header)
        if promised is None:
            raise ServiceError("MalformedTrailerError", f"The trailer {header} is missing", 400)
        return promised


def require_checksum(headers: Mapping[str, str]) -> None:
    """Raises InvalidRequest where an operation that needs a checksum of its body has none."""
    if "content-md5" not in headers and not _named_algorithms(headers):
        message = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        raise ServiceError("InvalidRequest", message, 400)


def stored_length(headers: Mapping[str, str], length: int | None) -> int | None:
    """How long the body, decoded, is said to be; None where that is not said."""
    decoded = headers.get("x-amz-decoded-content-length")
    if decoded is None:
        return None if _is_aws_chunked(headers) else length
    return int(decoded) if decoded.isascii() and decoded.isdigit() else None


def content_encoding(headers: Mapping[str, str]) -> str:
    """The Content-Encoding of the stored bytes: without `aws-chunked`, which is of the wire alone."""
    named = (part.strip() for part in headers.get("content-encoding", "").split(","))
    return ",".join(part for part in named if part and part != "aws-chunked")


def _is_aws_chunked(headers: Mapping[str, str]) -> bool:
    streaming = headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
    return streaming or "aws-chunked" in headers.get("content-encoding", "")


def _named_algorithms(headers: Mapping[str, str]) -> dict[str, None]:
    trailers = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")]
    named = [name for name in (*headers, *trailers) if name.startswith(_CHECKSUM)]
    found = [name.removeprefix(_CHECKSUM) for name in named]
    return dict.fromkeys(name for name in found if name not in _NO_DIGEST)


def _signed_sha256(headers: Mapping[str, str]) -> str:
    value = headers.get("x-amz-content-sha256", "")
    return value if len(value) == _HEX_SHA256_LENGTH else ""


class _Exactly:
    """A body of `length` bytes, or, with None, all that the stream holds."""

    def __init__(self, stream: Source, length: int | None) -> None:
        self._stream = stream
        self._left = length

    def readinto(self, buffer: memoryview, /) -> int:
        if self._left is None:
            return read_into(self._stream, buffer)
        got = read_into(self._stream, buffer[: self._left]) if self._left else 0
        self._left -= got
        if self._left and not got:
            raise incomplete()
        return got


class _AwsChunked:
    """An aws-chunked body undone: `size[;chunk-signature=…]`, data, …, `0`, trailers, an empty line."""

    def __init__(self, stream: Body) -> None:
        self._stream = stream
        self._left_in_chunk = 0
        self._ended = False
        self.trailers: dict[str, str] = {}

    def readinto(self, buffer: memoryview, /) -> int:
        if self._left_in_chunk == 0 and not self._ended:
            self._begin_chunk()
        if self._ended:
            return 0
        got = read_into(self._stream, buffer[: self._left_in_chunk])
        if not got:
            raise incomplete()
        self._left_in_chunk -= got
        if self._left_in_chunk == 0 and self._line():
            raise ServiceError("InvalidChunkSizeError", "A chunk is longer than its size says", 400)
        return got

    def _begin_chunk(self) -> None:
        size = self._line().split(";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(size):
            raise ServiceError("InvalidChunkSizeError", f"{size[:20]!r} is no chunk size", 400)
        self._left_in_chunk = int(size, 16)
        if self._left_in_chunk == 0:
            self._read_trailers()
            self._ended = True

    def _read_trailers(self) -> None:
        while line := self._line():
            name, _, value = line.partition(":")
            self.trailers[name.strip().lower()] = value.strip()

    def _line(self) -> str:
        line = self._stream.readline(_MAX_LINE)
        if not line.endswith(b"\r\n"):
            raise incomplete()
        return line[:-2].decode("latin-1")


def incomplete() -> ServiceError:
    message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
    return ServiceError("IncompleteBody", message, 400)
