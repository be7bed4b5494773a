"""One request to a container on its loopback port: POST /invocations, answered piece by piece.

Source of the contract: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, IncompleteRead
from typing import BinaryIO, Self

from ift_sagemaker.local.hosting.server import HOST

CHUNK = 1 << 16
Content = bytes | BinaryIO


class TooLarge(Exception):  # noqa: N818 - an outcome
    """The answer is over the limit."""


class Exchange:
    """A request that was sent, and its answer as it comes. `headers` of the answer have lower-case names.

    Raises TimeoutError where the answer's body is not there `seconds` after the start; before it, sending and
    the answer's head may each take as long again where the container takes or gives a little all the time.
    Raises OSError or HTTPException where the connection breaks, also in the middle of the answer.
    """

    def __init__(
        self,
        port: int,
        headers: Mapping[str, str],
        body: Content,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._deadline = monotonic() + seconds
        self._connection = HTTPConnection(HOST, port, timeout=seconds)
        try:
            self._connection.request("POST", "/invocations", body, dict(headers))
            self._link = self._connection.sock  # http.client forgets it where the container closes after it
            self._wait_no_longer()
            self._response = self._connection.getresponse()
        except BaseException:
            self._connection.close()
            raise
        self.status = self._response.status
        self.headers = {name.lower(): value for name, value in self._response.getheaders()}

    def piece(self, limit: int = CHUNK) -> bytes:
        """What the container has written since, at once; empty at the end of its answer."""
        self._wait_no_longer()
        data = self._response.read1(limit)
        if not data and self._response.length:  # it had promised more
            raise IncompleteRead(b"", self._response.length)
        return data

    def _wait_no_longer(self) -> None:
        left = self._deadline - self._monotonic()
        if left <= 0:
            raise TimeoutError
        self._link.settimeout(left)

    def drain(self, sink: Callable[[bytes], object], limit: int) -> None:
        """Hands the whole answer to `sink`; raises TooLarge above `limit` bytes."""
        size = 0
        while data := self.piece():
            size += len(data)
            if size > limit:
                raise TooLarge
            sink(data)

    def rest(self, limit: int) -> bytes:
        """The whole answer; raises TooLarge above `limit` bytes."""
        answer = bytearray()
        self.drain(answer.extend, limit)
        return bytes(answer)

    def close(self) -> None:
        """Hangs up: a container that writes on is told so by its socket."""
        self._connection.close()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
