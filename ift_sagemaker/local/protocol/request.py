"""One HTTP request as the services see it, and where it wants to go."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl

from ift_sagemaker.local.protocol.errors import ServiceError

MAX_DOCUMENT_BYTES = 64 << 20
_SCOPE = re.compile(r"Credential=[^/,]*/\d{8}/(?P<region>[^/,]*)/(?P<service>[^/,]+)/aws4_request")
_HEADERS_WITHOUT_PREFIX = ("CONTENT_TYPE", "CONTENT_LENGTH")


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes: ...


class Filling(Protocol):
    """What fills a buffer with its next bytes, some or all of it; none at its end alone."""

    def readinto(self, buffer: memoryview, /) -> int: ...


Source = Readable | Filling


class Body(Protocol):
    """What a request's body is read from: WSGI's input stream."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Request:
    """`path` and `query` are decoded, header names are in lower case.

    `length` is None where the body ends with the end of `stream` (a chunked body already undone by the
    transport). `id` names the request in answers and logs.
    """

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    stream: Body
    length: int | None
    id: str

    @property
    def scope(self) -> tuple[str, str]:
        """`(region, service)` from the signature's scope; empty strings for an unsigned request."""
        if "AWSAccessKeyId" in self.query:  # a presigned address of the older signature, which S3 alone has
            return "", "s3"
        credential = self.query.get("X-Amz-Credential")
        signed = f"Credential={credential}" if credential else self.headers.get("authorization", "")
        found = _SCOPE.search(signed)
        return (found["region"], found["service"]) if found else ("", "")

    def document(self) -> bytes:
        """The whole body, which is a small document; a ServiceError where it is not."""
        if self.length is None:
            data = read_up_to(self.stream, MAX_DOCUMENT_BYTES + 1)
        else:
            data = read_up_to(self.stream, min(self.length, MAX_DOCUMENT_BYTES + 1))
        if len(data) > MAX_DOCUMENT_BYTES:
            raise ServiceError("RequestEntityTooLarge", "The request body is above 64 MiB", 413)
        return data


def from_wsgi(environ: Mapping[str, Any], request_id: str) -> Request:
    """The request in a WSGI environment (PEP 3333).

    Raises:
        ServiceError: the path is no UTF-8 or the length is no number.
    """
    return Request(
        method=environ["REQUEST_METHOD"].upper(),
        host=environ.get("HTTP_HOST") or environ.get("SERVER_NAME", ""),
        path=_path(environ),
        query=dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True)),
        headers=_headers(environ),
        stream=environ["wsgi.input"],
        length=_length(environ),
        id=request_id,
    )


def read_up_to(stream: Readable, limit: int) -> bytes:
    """The next `limit` bytes, fewer only at the end of the stream."""
    parts = []
    while limit > 0 and (data := stream.read(limit)):
        parts.append(data)
        limit -= len(data)
    return b"".join(parts)


def read_into(stream: Source, buffer: memoryview) -> int:
    """How many bytes came into `buffer`, 0 only at the end; they are not copied where the stream fills it."""
    straight: Callable[[memoryview], int] | None = getattr(stream, "readinto", None)
    if straight is not None:
        return straight(buffer)
    data: bytes = cast("Readable", stream).read(len(buffer))
    buffer[: len(data)] = data
    return len(data)


def _path(environ: Mapping[str, Any]) -> str:
    raw = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    try:
        return str(raw.encode("latin-1").decode("utf-8")) or "/"
    except UnicodeDecodeError:
        raise ServiceError("InvalidURI", "The path of the request is not UTF-8", 400) from None


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    names = {name: name[5:] for name in environ if name.startswith("HTTP_")}
    names |= {name: name for name in _HEADERS_WITHOUT_PREFIX if environ.get(name)}
    return {header.replace("_", "-").lower(): environ[name] for name, header in names.items()}


def _length(environ: Mapping[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    if text:
        if not text.isascii() or not text.isdigit():
            raise ServiceError("InvalidRequest", f"Content-Length {text!r} is not a number", 400)
        return int(text)
    return None if environ.get("wsgi.input_terminated") else 0
