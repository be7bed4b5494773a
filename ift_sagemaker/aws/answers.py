"""The text in a streamed answer, whichever container streams it.

OpenAI's chunks (vLLM, SGLang, llama.cpp, our own server), TGI's token events, LMI's JSON lines, or one whole
answer of a server that does not stream. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

from ift_sagemaker.errors import InvocationError
from ift_sagemaker.wire.events import EventReader


def texts(endpoint: str, parts: Iterable[bytes]) -> Generator[str, None, None]:
    """Pieces of the answer's text as they come; none of them is empty.

    Raises InvocationError for an error in the stream, for something that is no answer, and for a stream that
    breaks off before its end.
    """
    reader, finished = EventReader(), False
    for document in _documents(endpoint, reader, parts):
        text, is_last = _read(endpoint, document)
        finished = finished or is_last
        if text:
            yield text
    if not (finished or reader.ended):
        raise InvocationError(
            f"the answer of endpoint {endpoint} broke off before its end", endpoint=endpoint, status_code=200
        )


def _documents(endpoint: str, reader: EventReader, parts: Iterable[bytes]) -> Iterator[Any]:
    try:
        for part in parts:
            yield from reader.feed(part)
        yield from reader.close()
    except ValueError as error:
        raise InvocationError(
            f"endpoint {endpoint} streams something that is not JSON: {error}",
            endpoint=endpoint,
            status_code=200,
        ) from error


def _read(endpoint: str, document: Any) -> tuple[str, bool]:
    """The text of one document, and whether it says that the answer has ended."""
    if isinstance(document, Mapping):
        if "error" in document:
            raise _told(endpoint, document["error"])
        if isinstance(document.get("choices"), list):
            return _of_choices(document["choices"])
        if isinstance(document.get("token"), Mapping):
            ended = document.get("generated_text") is not None or bool(document.get("details"))
            return str(document["token"].get("text") or ""), ended
        if "generated_text" in document:
            return str(document["generated_text"]), True
    shown = json.dumps(document)[:500]
    raise InvocationError(
        f"endpoint {endpoint} streams something else than an answer: {shown}",
        endpoint=endpoint,
        status_code=200,
        body=shown,
    )


def _of_choices(choices: list[Any]) -> tuple[str, bool]:
    if not choices:  # a last chunk that only counts tokens
        return "", False
    choice = choices[0]
    content = (choice.get("delta") or choice.get("message") or {}).get("content") or choice.get("text")
    return str(content or ""), choice.get("finish_reason") is not None


def _told(endpoint: str, error: Any) -> InvocationError:
    message = error.get("message", "") if isinstance(error, Mapping) else error
    code = error.get("code") if isinstance(error, Mapping) else None
    return InvocationError(
        f"endpoint {endpoint} failed in the middle of its answer: {message}",
        endpoint=endpoint,
        status_code=code if isinstance(code, int) else 500,
        body=json.dumps(error),
    )
