"""A streamed answer: pieces come from the engine's thread, events go out in the server's own."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress

from ift_sagemaker.container.chunks import Piece, chunks_of
from ift_sagemaker.container.engine import BatchingEngine, EngineClosed
from ift_sagemaker.container.generation import Answer, GenerationRequest, Mark
from ift_sagemaker.container.invocations import Invocation
from ift_sagemaker.container.lifecycle import failure_reason, say
from ift_sagemaker.container.listening import Telling
from ift_sagemaker.errors import IFTError
from ift_sagemaker.wire.events import done, event

_REWRITTEN = "the tokenizer took back text that had been sent already"

Heard = tuple[int, Piece | Future[Answer]]


class TookTooLong(IFTError):  # noqa: N818 - a state, answered with 504
    """An answer was not whole in the time that the server gives to one."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the answer was not finished within {seconds:g} seconds")


class _Ear:
    """Hears one answer in the engine's thread and hands its pieces to the server's loop."""

    hears = True

    def __init__(self, index: int, request: GenerationRequest, hall: _Hall) -> None:
        self._index, self._hall = index, hall
        self._count, self._token, self._marked = 0, -1, 0
        self._marks: list[Mark] = []
        self.telling = Telling(request.stop)
        self.gone = False

    def hear(self, text: str, token: int, mark: Mark | None) -> None:
        self._count, self._token = self._count + 1, token
        if mark is not None:
            self._marks.append(mark)
        if more := self.telling.more(text):
            self._marked += len(self._marks)
            self._hall.put((self._index, Piece(more, token, self._count, tuple(self._marks))))
            self._marks = []

    def finished(self, future: Future[Answer]) -> None:
        self._hall.put((self._index, future))

    def rest(self, answer: Answer) -> Piece | None:
        """What is left to tell; None where the answer is another than what was told."""
        text = self.telling.rest(answer.text)
        return None if text is None else Piece(text, self._token, answer.tokens, answer.marks[self._marked :])


class _Hall:
    """What was heard, in order."""

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout, self._end = timeout, self._loop.time() + timeout
        self._queue: asyncio.Queue[Heard] = asyncio.Queue()

    def put(self, heard: Heard) -> None:
        with suppress(RuntimeError):  # the server has ended: nobody is there to hear
            self._loop.call_soon_threadsafe(self._queue.put_nowait, heard)

    async def get(self) -> Heard:
        """Raises TookTooLong at the end of the time."""
        try:
            async with asyncio.timeout_at(self._end):
                return await self._queue.get()
        except TimeoutError as error:
            raise TookTooLong(self._timeout) from error


class AnswerStream:
    """The events of one invocation. Whoever stops reading them stops the generation as well."""

    def __init__(self, engine: BatchingEngine, invocation: Invocation, timeout: float) -> None:
        """`timeout` seconds from now all must have been heard. Raises what `BatchingEngine.submit` raises."""
        self._invocation = invocation
        self._chunks = chunks_of(invocation, uuid.uuid4().hex, int(time.time()))
        self._hall = _Hall(timeout)
        requests = invocation.requests
        self._ears = [_Ear(index, request, self._hall) for index, request in enumerate(requests)]
        self._futures = engine.submit(requests, self._ears)
        for ear, future in zip(self._ears, self._futures, strict=True):
            future.add_done_callback(ear.finished)
        self._first: Heard | None = None

    async def begin(self) -> None:
        """Returns with the first that is heard; raises where the generation failed before."""
        try:
            self._first = await self._hall.get()
            heard = self._first[1]
            if isinstance(heard, Future):
                heard.result()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Nobody reads any more."""
        for ear, future in zip(self._ears, self._futures, strict=True):
            ear.gone = True
            future.cancel()

    async def events(self) -> AsyncIterator[bytes]:
        """Server-sent events; an error in the middle is one of them, and then the last."""
        answers: dict[int, Answer] = {}
        try:
            for document in self._chunks.opening():
                yield event(document)
            while len(answers) < len(self._ears):
                index, heard = self._first or await self._hall.get()
                self._first = None
                for document in self._documents(index, heard, answers):
                    yield event(document)
            for document in self._chunks.closing([answers[index] for index in sorted(answers)]):
                yield event(document)
            yield done()
        except Exception as error:  # noqa: BLE001 - the status is sent: only an event can tell
            say(f"a stream failed: {failure_reason(error)}")
            yield event(_as_document(error))
        finally:
            self.leave()

    def _documents(
        self, index: int, heard: Piece | Future[Answer], answers: dict[int, Answer]
    ) -> list[object]:
        if isinstance(heard, Piece):
            return self._chunks.piece(index, heard)
        try:
            answer = heard.result()
        except CancelledError as error:
            raise RuntimeError("the generation was cancelled") from error
        rest = self._ears[index].rest(answer)
        if rest is None:
            raise RuntimeError(_REWRITTEN)
        answers[index] = answer
        return self._chunks.finish(index, rest, answer)


def _as_document(error: Exception) -> dict[str, object]:
    """An error as the last document of a stream."""
    kind, status = {TookTooLong: ("timed_out", 504), EngineClosed: ("stopping", 503)}.get(
        type(error), ("server_error", 500)
    )
    return {"error": error_object(failure_reason(error), kind, status, None)}


def error_object(message: str, kind: str, status: int, field: str | None) -> dict[str, object]:
    """OpenAI's error object; `param` names the field."""
    return {"message": message, "type": kind, "param": field, "code": status}
