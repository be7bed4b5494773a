from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from ift_sagemaker.container.engine import MAX_BATCH, MAX_WAITING, BatchingEngine, EngineClosed, QueueFull
from ift_sagemaker.container.generation import Answer, GenerationRequest
from ift_sagemaker.container.listening import Listener

REQUEST = GenerationRequest([1], 1)
SECONDS = 30


class GatedGenerator:
    """Answers a batch when told to, and remembers batches and threads."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[int] = set()
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def generate(
        self, requests: Sequence[GenerationRequest], listeners: Sequence[Listener | None] = ()
    ) -> list[Answer]:
        self.batches.append(len(requests))
        self.threads.add(threading.get_ident())
        self.entered.release()
        assert self.gate.acquire(timeout=SECONDS)
        if any(request.max_new_tokens == 0 for request in requests):
            raise ValueError("broken request")
        return [Answer(str(request.prompt), 1, "stop", ended=True) for request in requests]


@pytest.fixture
def generator() -> GatedGenerator:
    return GatedGenerator()


@pytest.fixture
def engine(generator: GatedGenerator) -> Iterator[BatchingEngine]:
    made = BatchingEngine(lambda: generator, on_failure=lambda: None)
    made.start()
    yield made
    generator.gate.release(1000)
    made.close(SECONDS)


def test_requests_that_wait_together_are_decoded_together(
    engine: BatchingEngine, generator: GatedGenerator
) -> None:
    (first,) = engine.submit([REQUEST])
    assert generator.entered.acquire(timeout=SECONDS)
    rest = [engine.submit([GenerationRequest([place], 1)])[0] for place in range(20)]
    generator.gate.release(3)
    assert first.result(SECONDS).text == "[1]"
    assert [future.result(SECONDS).text for future in rest] == [f"[{place}]" for place in range(20)]
    assert generator.batches == [1, MAX_BATCH, 20 - MAX_BATCH]


def test_one_thread_does_it_all(engine: BatchingEngine, generator: GatedGenerator) -> None:
    generator.gate.release(2)
    for _ in range(2):
        engine.submit([REQUEST])[0].result(SECONDS)
    assert len(generator.threads) == 1
    assert threading.get_ident() not in generator.threads


def test_a_full_queue_refuses_and_takes_no_part_of_the_request(
    engine: BatchingEngine, generator: GatedGenerator
) -> None:
    engine.submit([REQUEST])
    assert generator.entered.acquire(timeout=SECONDS)
    engine.submit([REQUEST] * (MAX_WAITING - 1))
    with pytest.raises(QueueFull, match="63 requests wait"):
        engine.submit([REQUEST] * 2)
    engine.submit([REQUEST])


def test_a_failed_batch_fails_its_callers_alone(engine: BatchingEngine, generator: GatedGenerator) -> None:
    (broken,) = engine.submit([GenerationRequest([1], 0)])
    generator.gate.release(2)
    with pytest.raises(ValueError, match="broken request"):
        broken.result(SECONDS)
    assert engine.submit([REQUEST])[0].result(SECONDS).ended


def test_nothing_is_generated_for_a_caller_who_has_gone(
    engine: BatchingEngine, generator: GatedGenerator
) -> None:
    (running,) = engine.submit([REQUEST])
    assert generator.entered.acquire(timeout=SECONDS)
    gone, stays = engine.submit([REQUEST, REQUEST])
    assert gone.cancel()
    generator.gate.release(2)
    assert running.result(SECONDS)
    assert stays.result(SECONDS)
    assert generator.batches == [1, 1]


def test_a_round_of_which_all_have_gone_does_not_end_the_engine(
    engine: BatchingEngine, generator: GatedGenerator
) -> None:
    engine.submit([REQUEST])
    assert generator.entered.acquire(timeout=SECONDS)
    assert all(future.cancel() for future in engine.submit([REQUEST] * 3))
    generator.gate.release(2)
    assert engine.submit([REQUEST])[0].result(SECONDS).ended


def test_close_answers_what_was_taken_and_takes_nothing_new(
    engine: BatchingEngine, generator: GatedGenerator
) -> None:
    futures = [engine.submit([REQUEST])[0] for _ in range(3)]
    generator.gate.release(3)
    engine.close(SECONDS)
    assert all(future.done() for future in futures)
    with pytest.raises(EngineClosed):
        engine.submit([REQUEST])


def test_a_model_that_does_not_load_is_reported() -> None:
    told = threading.Event()

    def load() -> GatedGenerator:
        raise RuntimeError("no weights")

    engine = BatchingEngine(load, on_failure=told.set)
    engine.start()
    assert told.wait(SECONDS)
    assert not engine.ready
    assert str(engine.failure) == "no weights"
