from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from ift_sagemaker.container.engine import (
    MAX_WAITING,
    BatchingEngine,
    EngineClosed,
    QueueFull,
    WaitedTooLong,
)
from ift_sagemaker.container.generation import Answer, GenerationRequest, Growing

REQUEST = GenerationRequest([1], 1)
SECONDS = 30
ROOM = 16
BROKEN, UNREADABLE = 0, -1


class GatedDecoder:
    """Answers all that it was given with the step that it is allowed, and remembers batches and threads."""

    context = None

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[int] = set()
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self._rows: list[Growing] = []

    @property
    def active(self) -> int:
        return len(self._rows)

    def room(self, requests: Sequence[GenerationRequest]) -> int:
        return min(ROOM - len(self._rows), len(requests))

    def admit(self, rows: Sequence[Growing]) -> list[Growing]:
        if not rows:
            return []
        self.batches.append(len(rows))
        self.threads.add(threading.get_ident())
        if any(row.request.max_new_tokens == UNREADABLE for row in rows):
            raise ValueError("unreadable request")
        self._rows += rows
        return []

    def step(self) -> list[Growing]:
        if not self._rows:
            return []
        self.entered.release()
        assert self.gate.acquire(timeout=SECONDS)
        if any(row.request.max_new_tokens == BROKEN for row in self._rows):
            raise ValueError("broken request")
        finished = [row for row in self._rows if row.request.max_new_tokens == 1]
        for row in finished:
            row.answer = Answer(str(row.request.prompt), 1, "stop", ended=True)
        self._rows = [row for row in self._rows if row.answer is None]
        for row in self._rows:
            row.request = replace(row.request, max_new_tokens=row.request.max_new_tokens - 1)
        return finished

    def clear(self) -> None:
        self._rows = []


@pytest.fixture
def decoder() -> GatedDecoder:
    return GatedDecoder()


@pytest.fixture
def engine(decoder: GatedDecoder) -> Iterator[BatchingEngine]:
    made = BatchingEngine(lambda: decoder, on_failure=lambda: None)
    made.start()
    yield made
    decoder.gate.release(1000)
    made.close(SECONDS)


def test_requests_that_wait_together_are_decoded_together(
    engine: BatchingEngine, decoder: GatedDecoder
) -> None:
    (first,) = engine.submit([REQUEST])
    assert decoder.entered.acquire(timeout=SECONDS)
    rest = [engine.submit([GenerationRequest([place], 1)])[0] for place in range(20)]
    decoder.gate.release(3)
    assert first.result(SECONDS).text == "[1]"
    assert [future.result(SECONDS).text for future in rest] == [f"[{place}]" for place in range(20)]
    assert decoder.batches == [1, ROOM, 20 - ROOM]


def test_one_thread_does_it_all(engine: BatchingEngine, decoder: GatedDecoder) -> None:
    decoder.gate.release(2)
    for _ in range(2):
        engine.submit([REQUEST])[0].result(SECONDS)
    assert len(decoder.threads) == 1
    assert threading.get_ident() not in decoder.threads


def test_a_full_queue_refuses_and_takes_no_part_of_the_request(
    engine: BatchingEngine, decoder: GatedDecoder
) -> None:
    engine.submit([REQUEST])
    assert decoder.entered.acquire(timeout=SECONDS)
    engine.submit([REQUEST] * (MAX_WAITING - 1))
    with pytest.raises(QueueFull, match=f"{MAX_WAITING - 1} requests wait"):
        engine.submit([REQUEST] * 2)
    engine.submit([REQUEST])


def test_a_step_that_fails_fails_those_in_it_and_not_the_engine(
    engine: BatchingEngine, decoder: GatedDecoder
) -> None:
    (broken,) = engine.submit([GenerationRequest([1], BROKEN)])
    decoder.gate.release(2)
    with pytest.raises(ValueError, match="broken request"):
        broken.result(SECONDS)
    assert engine.submit([REQUEST])[0].result(SECONDS).ended


def test_a_request_that_cannot_be_read_fails_alone(engine: BatchingEngine, decoder: GatedDecoder) -> None:
    (growing,) = engine.submit([GenerationRequest([1], 3)])
    assert decoder.entered.acquire(timeout=SECONDS)
    (unreadable,) = engine.submit([GenerationRequest([1], UNREADABLE)])
    decoder.gate.release(3)
    with pytest.raises(ValueError, match="unreadable request"):
        unreadable.result(SECONDS)
    assert growing.result(SECONDS).ended


def test_a_request_joins_those_that_grow_and_leaves_before_them(
    engine: BatchingEngine, decoder: GatedDecoder
) -> None:
    (long,) = engine.submit([GenerationRequest([1], 3)])
    assert decoder.entered.acquire(timeout=SECONDS)
    (short,) = engine.submit([REQUEST])
    decoder.gate.release(2)
    assert short.result(SECONDS).ended
    assert not long.done()
    decoder.gate.release()
    assert long.result(SECONDS).ended


def test_a_request_that_was_not_begun_in_its_callers_time_is_refused(decoder: GatedDecoder) -> None:
    now = [0.0]
    engine = BatchingEngine(lambda: decoder, lambda: None, patience=60.0, clock=lambda: now[0])
    engine.start()
    engine.submit([GenerationRequest([1], 2)] * ROOM)
    assert decoder.entered.acquire(timeout=SECONDS)
    (late,) = engine.submit([REQUEST])
    now[0] = 61.0
    decoder.gate.release(2)
    with pytest.raises(WaitedTooLong, match="60 seconds"):
        late.result(SECONDS)
    engine.close(SECONDS)


def test_nothing_is_generated_for_a_caller_who_has_gone(
    engine: BatchingEngine, decoder: GatedDecoder
) -> None:
    (running,) = engine.submit([REQUEST])
    assert decoder.entered.acquire(timeout=SECONDS)
    gone, stays = engine.submit([REQUEST, REQUEST])
    assert gone.cancel()
    decoder.gate.release(2)
    assert running.result(SECONDS)
    assert stays.result(SECONDS)
    assert decoder.batches == [1, 1]


def test_a_round_of_which_all_have_gone_does_not_end_the_engine(
    engine: BatchingEngine, decoder: GatedDecoder
) -> None:
    engine.submit([REQUEST])
    assert decoder.entered.acquire(timeout=SECONDS)
    assert all(future.cancel() for future in engine.submit([REQUEST] * 3))
    decoder.gate.release(2)
    assert engine.submit([REQUEST])[0].result(SECONDS).ended


def test_close_answers_what_was_taken_and_takes_nothing_new(
    engine: BatchingEngine, decoder: GatedDecoder
) -> None:
    futures = [engine.submit([REQUEST])[0] for _ in range(3)]
    decoder.gate.release(3)
    engine.close(SECONDS)
    assert all(future.done() for future in futures)
    with pytest.raises(EngineClosed):
        engine.submit([REQUEST])


def test_a_model_that_does_not_load_is_reported() -> None:
    told = threading.Event()

    def load() -> GatedDecoder:
        raise RuntimeError("no weights")

    engine = BatchingEngine(load, on_failure=told.set)
    engine.start()
    assert told.wait(SECONDS)
    assert not engine.ready
    assert str(engine.failure) == "no weights"


def test_what_is_not_answered_when_the_time_is_over_fails_with_a_typed_error(
    engine: BatchingEngine, decoder: GatedDecoder
) -> None:
    (growing,) = engine.submit([GenerationRequest([1], 1000)] * 1)
    assert decoder.entered.acquire(timeout=SECONDS)
    waiting = engine.submit([REQUEST] * (ROOM + 3))
    closing = threading.Thread(target=engine.close, args=(0.01,))
    closing.start()
    closing.join(0.1)
    decoder.gate.release()
    closing.join(SECONDS)
    for future in (growing, *waiting):
        with pytest.raises(EngineClosed, match="stopped before"):
            future.result(SECONDS)
    assert not engine.ready


class DyingDecoder(GatedDecoder):
    """Fails where no request is to blame."""

    def room(self, requests: Sequence[GenerationRequest]) -> int:
        raise RuntimeError("the books are wrong")


def test_an_engine_that_dies_is_not_ready_and_leaves_no_caller_waiting() -> None:
    told = threading.Event()
    engine = BatchingEngine(DyingDecoder, on_failure=told.set)
    engine.start()
    (future,) = engine.submit([REQUEST])
    with pytest.raises(EngineClosed, match="died"):
        future.result(SECONDS)
    engine.close(SECONDS)
    assert told.wait(SECONDS), "the server is to end"
    assert not engine.ready
    assert str(engine.failure) == "the books are wrong"
    with pytest.raises(EngineClosed, match="died"):
        engine.submit([REQUEST])
