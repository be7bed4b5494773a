"""One thread that owns the model and decodes together whatever there is."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from ift_sagemaker.container.generation import Answer, Decoder, GenerationRequest, Growing
from ift_sagemaker.container.lifecycle import failure_reason, say
from ift_sagemaker.container.listening import Listener
from ift_sagemaker.errors import IFTError

MAX_WAITING = 256
PATIENCE = 60.0
"""Seconds after which SageMaker's caller has been told that the model did not answer."""
LAST_STEP_SECONDS = 2
"""How long the step at hand may still take once nobody waits for more."""
_STOPPING = "the server is stopping"
_CUT = "the server stopped before the answer was finished"
_DEAD = "the engine has died; the server must be started again"


class QueueFull(IFTError):  # noqa: N818 - a state of the queue, answered with 429
    """More requests wait than the server will keep."""


class EngineClosed(IFTError):  # noqa: N818 - likewise
    """The server is stopping and takes nothing new."""


class WaitedTooLong(QueueFull):
    """A request was not begun in the time that its caller has."""


@dataclass
class _Waiting:
    request: GenerationRequest
    listener: Listener | None
    since: float
    future: Future[Answer] = field(default_factory=Future)


class BatchingEngine:
    """Runs `load` and everything after it in one thread of its own.

    Tensors must be made by the thread that computes with them: with a second one, two OpenMP pools fight for
    the cores and nearly half the speed is lost. `load` gives a decoder that has answered a warm-up request.
    A request is let in between two steps, when the decoder has room; one that waits `patience` seconds for
    that is refused.
    """

    def __init__(
        self,
        load: Callable[[], Decoder],
        on_failure: Callable[[], None],
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._on_failure = load, on_failure
        self._patience, self._clock = patience, clock
        self._waiting: deque[_Waiting] = deque()
        self._growing: dict[Growing, Future[Answer]] = {}
        self._changed = threading.Condition()
        self._closed = self._left = False
        self._thread = threading.Thread(target=self._run, name="ift-engine", daemon=True)
        self._loaded = False
        self.failure: BaseException | None = None

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and the thread that owns it lives."""
        return self._loaded and self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def submit(
        self, requests: Sequence[GenerationRequest], listeners: Sequence[Listener | None] = ()
    ) -> list[Future[Answer]]:
        """A future for each request; `listeners`, one a request or none at all, hear their answers grow.

        Raises QueueFull, and then takes none of them; EngineClosed after `close`.
        """
        hearing, now = listeners or [None] * len(requests), self._clock()
        entries = [
            _Waiting(request, listener, now) for request, listener in zip(requests, hearing, strict=True)
        ]
        with self._changed:
            if self._closed:
                raise EngineClosed(_STOPPING if self.failure is None else _DEAD)
            if len(self._waiting) + len(entries) > MAX_WAITING:
                raise QueueFull(f"{len(self._waiting)} requests wait already; ask again in a moment")
            self._waiting.extend(entries)
            self._changed.notify()
        return [entry.future for entry in entries]

    def close(self, seconds: float) -> None:
        """Answers what has been taken and ends the thread; what is not answered in `seconds` fails."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._changed:
            self._left = True
            self._changed.notify()
        self._thread.join(LAST_STEP_SECONDS)

    def _run(self) -> None:
        try:
            decoder = self._load()
        except Exception as error:  # noqa: BLE001 - carried to the main thread, which ends the process
            self.failure = error
            self._end(EngineClosed(_DEAD))
            self._on_failure()
            return
        self._loaded = True
        try:
            while self._wait():
                self._work(decoder)
        except BaseException as error:  # noqa: BLE001 - /ping tells that nothing is answered any more
            self.failure = error
            say(f"the engine died: {failure_reason(error)}")
        self._end(EngineClosed(_CUT if self.failure is None else _DEAD))
        if self.failure is not None:
            self._on_failure()

    def _work(self, decoder: Decoder) -> None:
        rows = self._admitted(decoder)
        try:
            self._finish(decoder.admit(rows))
        except Exception as error:  # noqa: BLE001 - their callers get it
            self._fail(rows, error)
        try:
            self._finish(decoder.step())
        except Exception as error:  # noqa: BLE001 - every caller gets it
            decoder.clear()
            self._fail([*self._growing], error)

    def _end(self, error: EngineClosed) -> None:
        """Nothing is taken any more, and nothing is left without an end."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, deque()
        self._fail([*self._growing], error)
        for entry in waiting:
            if entry.future.set_running_or_notify_cancel():
                entry.future.set_exception(error)

    def _wait(self) -> bool:
        """True as soon as there is something to do; False once closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._growing or self._waiting or self._closed)
            return bool(self._growing or self._waiting) and not self._left

    def _admitted(self, decoder: Decoder) -> list[Growing]:
        """The oldest requests that wait, as many as there is room for."""
        with self._changed:
            self._drop_those_without_caller()
            room = decoder.room([entry.request for entry in self._waiting]) if self._waiting else 0
            taken = [self._waiting.popleft() for _ in range(room)]
        rows = []
        for entry in taken:
            # a caller who has gone away cancels its future: nothing is generated for it
            if entry.future.set_running_or_notify_cancel():
                row = Growing(entry.request, entry.listener)
                self._growing[row] = entry.future
                rows.append(row)
        return rows

    def _drop_those_without_caller(self) -> None:
        oldest = self._clock() - self._patience
        live = deque[_Waiting]()
        for entry in self._waiting:
            if entry.future.cancelled():
                continue
            if entry.since < oldest and entry.future.set_running_or_notify_cancel():
                entry.future.set_exception(WaitedTooLong(f"not begun within {self._patience:g} seconds"))
                continue
            live.append(entry)
        self._waiting = live

    def _finish(self, rows: Sequence[Growing]) -> None:
        for row in rows:
            if row.answer is None:
                raise RuntimeError("the decoder gave back an answer that is not finished")
            self._growing.pop(row).set_result(row.answer)

    def _fail(self, rows: Sequence[Growing], error: Exception) -> None:
        for row in rows:
            if future := self._growing.pop(row, None):
                future.set_exception(error)
