"""A stream of JSON documents: server-sent events, as our server writes them, or one document a line.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html. SageMaker cuts a stream anywhere, also
inside a character, so a reader is fed bytes and gives documents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

DONE = "[DONE]"


def event(document: Any) -> bytes:
    """One event whose data is a JSON document."""
    return f"data: {json.dumps(document, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def done() -> bytes:
    """The event that says that all has been sent, as OpenAI's servers do."""
    return f"data: {DONE}\n\n".encode()


class EventReader:
    """Takes bytes as they come; `ended` once the event came that says that all was sent."""

    def __init__(self) -> None:
        self._left = b""
        self.ended = False

    def feed(self, data: bytes) -> Iterator[Any]:
        """The documents that are whole now. Raises ValueError for one that is no JSON."""
        *lines, self._left = (self._left + data).split(b"\n")
        for line in lines:
            yield from self._read(line)

    def close(self) -> Iterator[Any]:
        """What a last line without its end holds."""
        line, self._left = self._left, b""
        yield from self._read(line)

    def _read(self, line: bytes) -> Iterator[Any]:
        text = line.strip().decode("utf-8")
        document = text.removeprefix("data:").strip()
        if document == DONE:
            self.ended = True
        elif document and (text.startswith(("data:", "{"))):
            yield json.loads(document)
