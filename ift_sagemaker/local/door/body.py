"""A request's body on its way from the socket to whoever wants it, without a stop if its length is known."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import h11

# what a reader by lines or by small pieces has waiting; whoever asks for more at once gets it without a copy
LINE_BYTES = 1 << 14


class RequestBody(io.RawIOBase):
    """A body of `length` bytes, or of None where only its framing tells its end.

    `take` gives what the protocol's machine makes of it, empty at the end. Of a known length the machine sees
    only what came with the head: where `take` then gives None, `receive_into` fills buffers with all that
    follows, straight from the socket. It gives at least one byte, or raises.
    """

    def __init__(
        self,
        take: Callable[[], bytes | None],
        receive_into: Callable[[memoryview], int],
        length: int | None,
    ) -> None:
        super().__init__()
        self._take = take
        self._receive_into = receive_into
        self._left = length
        self._ready = memoryview(b"")
        self._ended = False
        self.went_past = False

    @property
    def is_of_known_length(self) -> bool:
        return self._left is not None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not (self._ready or self._ended or self.went_past):
            self._take_next()
        if self.went_past:
            return self._fill(memoryview(buffer))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _take_next(self) -> None:
        data = self._take()
        if data is None:
            self.went_past = True
            return
        self._ready, self._ended = memoryview(data), not data
        if self._left is not None:
            self._left -= len(data)

    def _fill(self, buffer: memoryview) -> int:
        if not self._left or not buffer:
            return 0
        got = self._receive_into(buffer[: self._left])
        self._left -= got
        return got


def is_contradictory(request: h11.Request) -> bool:
    """Whether a request tells its length twice, in two ways; two unequal lengths h11 itself refuses.

    RFC 9112 (6.1) lets a server refuse it: whoever believes the other one sees another request behind it.
    """
    return {b"transfer-encoding", b"content-length"} <= {name for name, _ in request.headers}


def known_length(request: h11.Request) -> int | None:
    """How long the body of a request is; None where it comes in chunks."""
    headers = dict(request.headers)
    if b"transfer-encoding" in headers:
        return None
    return int(headers.get(b"content-length", b"0"))
