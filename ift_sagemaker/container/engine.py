"""One thread that owns the model and decodes together whatever waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from ift_sagemaker.container.generation import Answer, GenerationRequest
from ift_sagemaker.container.listening import Listener
from ift_sagemaker.errors import IFTError

MAX_BATCH = 16
MAX_WAITING = 64


class QueueFull(IFTError):  # noqa: N818 - a state of the queue, answered with 429
    """More requests wait than the server will keep."""


class EngineClosed(IFTError):  # noqa: N818 - likewise
    """The server is stopping and takes nothing new."""


class Generator(Protocol):
    """What the engine needs of a model."""

    def generate(
        self, requests: Sequence[GenerationRequest], listeners: Sequence[Listener | None] = ()
    ) -> list[Answer]: ...


@dataclass
class _Waiting:
    request: GenerationRequest
    listener: Listener | None = None
    future: Future[Answer] = field(default_factory=Future)


class BatchingEngine:
    """Runs `load` and everything after it in one thread of its own.

    Tensors must be made by the thread that computes with them: with a second one, two OpenMP pools fight for
    the cores and nearly half the speed is lost. `load` gives a generator that has answered a warm-up request.
    """

    def __init__(self, load: Callable[[], Generator], on_failure: Callable[[], None]) -> None:
        self._load, self._on_failure = load, on_failure
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ift-engine", daemon=True)
        self.ready = False
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def submit(
        self, requests: Sequence[GenerationRequest], listeners: Sequence[Listener | None] = ()
    ) -> list[Future[Answer]]:
        """A future for each request; `listeners`, one a request or none at all, hear their answers grow.

        Raises QueueFull, and then takes none of them; EngineClosed after `close`.
        """
        hearing = listeners or [None] * len(requests)
        entries = [_Waiting(request, listener) for request, listener in zip(requests, hearing, strict=True)]
        with self._changed:
            if self._closed:
                raise EngineClosed("the server is stopping")
            if len(self._waiting) + len(entries) > MAX_WAITING:
                raise QueueFull(f"{len(self._waiting)} requests wait already; ask again in a moment")
            self._waiting.extend(entries)
            self._changed.notify()
        return [entry.future for entry in entries]

    def close(self, seconds: float) -> None:
        """Answers what has been taken and ends the thread; waits no longer than `seconds`."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            generator = self._load()
        except Exception as error:  # noqa: BLE001 - carried to the main thread, which ends the process
            self.failure = error
            self._on_failure()
            return
        self.ready = True
        while batch := self._next_batch():
            self._answer(generator, batch)

    def _next_batch(self) -> list[_Waiting]:
        """The oldest requests that wait; empty once closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            count = min(MAX_BATCH, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
        # a caller who has gone away cancels its future: nothing is generated for it
        live = [entry for entry in taken if entry.future.set_running_or_notify_cancel()]
        return live if live or not taken else self._next_batch()

    @staticmethod
    def _answer(generator: Generator, batch: Sequence[_Waiting]) -> None:
        try:
            answers = generator.generate(
                [entry.request for entry in batch], [entry.listener for entry in batch]
            )
        except Exception as error:  # noqa: BLE001 - each caller gets it
            for entry in batch:
                entry.future.set_exception(error)
            return
        for entry, answer in zip(batch, answers, strict=True):
            entry.future.set_result(answer)
