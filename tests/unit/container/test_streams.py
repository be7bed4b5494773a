"""Streamed answers over a real loopback socket."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.container.engine import BatchingEngine
from ift_sagemaker.container.generation import Answer, GenerationRequest, Growing
from ift_sagemaker.container.serve import ServedModel
from ift_sagemaker.wire.events import EventReader
from tests.unit.container.test_serve import CHAT, Server, running_server
from tests.unit.container.tiny import encoder

SECONDS = 30
LONG = CHAT | {"max_tokens": 24}


@pytest.fixture(scope="module")
def server(base_folder: Path) -> Iterator[Server]:
    model = ServedModel(base_folder, {"IFT_DTYPE": "float32"})
    engine = BatchingEngine(model.load, on_failure=lambda: None)
    with running_server(engine, model) as running:
        while running.call("GET", "/ping")[0] != 200:
            pass
        yield running


def stream(server: Server, body: Any) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    connection.request("POST", "/invocations", json.dumps(body), {"Content-Type": "application/json"})
    return connection, connection.getresponse()


def documents(server: Server, body: Any) -> tuple[list[Any], bool]:
    """The documents of a stream, and whether its last word was [DONE]."""
    connection, answer = stream(server, body)
    assert (answer.status, answer.getheader("Content-Type")) == (200, "text/event-stream; charset=utf-8")
    reader = EventReader()
    found = list(reader.feed(answer.read()))
    connection.close()
    return found, reader.ended


def test_a_streamed_chat_is_openais_chunks_whose_text_is_the_plain_answer(server: Server) -> None:
    plain = server.invoke(LONG)[1]["choices"][0]
    chunks, ended = documents(server, LONG | {"stream": True, "model": "m"})
    assert ended
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", "m")}
    assert len({chunk["id"] for chunk in chunks}) == 1
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(choice["delta"].get("content", "") for choice in choices) == plain["message"]["content"]
    assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
    assert (choices[-1]["finish_reason"], choices[-1]["delta"]) == (plain["finish_reason"], {})
    assert all("usage" not in chunk for chunk in chunks)


def test_usage_comes_last_where_it_is_asked_for(server: Server) -> None:
    plain = server.invoke(LONG)[1]
    chunks, ended = documents(server, LONG | {"stream": True, "stream_options": {"include_usage": True}})
    assert ended
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], plain["usage"])
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_completions_of_several_prompts_stream_side_by_side(server: Server) -> None:
    body = {"prompt": ["two and", "one"], "max_tokens": 9}
    plain = [choice["text"] for choice in server.invoke(body)[1]["choices"]]
    chunks, ended = documents(server, body | {"stream": True})
    texts = ["", ""]
    for chunk in chunks:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["text"]
    assert (texts, ended) == (plain, True)


def test_inputs_stream_as_token_events_with_the_whole_text_in_the_last(server: Server) -> None:
    body = {"inputs": "two and two?", "parameters": {"max_new_tokens": 9, "return_full_text": True}}
    plain = server.invoke(body)[1][0]["generated_text"]
    events, _ = documents(server, body | {"stream": True})
    assert "two and two?" + "".join(event["token"]["text"] for event in events) == plain
    assert [event["generated_text"] for event in events] == [None] * (len(events) - 1) + [plain]
    assert events[-1]["details"] == {"finish_reason": "length", "generated_tokens": 9, "seed": None}


def test_a_stop_text_never_leaks_into_a_stream(server: Server) -> None:
    whole = server.invoke(LONG)[1]["choices"][0]["message"]["content"]
    stop = whole[3:6]
    chunks, _ = documents(server, LONG | {"stream": True, "stop": [stop]})
    told = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert told == whole[: whole.index(stop)]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_streamed_logprobs_joined_are_those_of_the_plain_answer(server: Server) -> None:
    chat = LONG | {"logprobs": True, "top_logprobs": 2, "ignore_eos": True}
    plain = server.invoke(chat)[1]["choices"][0]["logprobs"]
    chunks, _ = documents(server, chat | {"stream": True})
    told = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert [entry for part in told if part for entry in part["content"]] == plain["content"]
    assert len(plain["content"]) == 24
    completion = {"prompt": "two", "max_tokens": 9, "logprobs": 1, "ignore_eos": True}
    wanted = server.invoke(completion)[1]["choices"][0]["logprobs"]
    chunks, _ = documents(server, completion | {"stream": True})
    parts = [part for chunk in chunks if (part := chunk["choices"][0]["logprobs"])]
    assert {name: [item for part in parts for item in part[name]] for name in wanted} == wanted


def test_several_answers_stream_side_by_side(server: Server) -> None:
    body = LONG | {"n": 3, "temperature": 1.5, "seed": 4}
    plain = [choice["message"]["content"] for choice in server.invoke(body)[1]["choices"]]
    chunks, ended = documents(server, body | {"stream": True})
    texts = ["", "", ""]
    for chunk in chunks:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert (texts, ended) == (plain, True)
    assert len({*texts}) == 3


class SteppedDecoder:
    """Tells a letter for each step it is allowed, until nobody listens."""

    context = None

    def __init__(self, fail_at: int | None = None) -> None:
        self.steps = threading.Semaphore(0)
        self.taken, self.left = threading.Event(), threading.Event()
        self._fail_at = fail_at
        self.finish_at: int | None = None
        self._row: Growing | None = None
        self._count = 0

    @property
    def active(self) -> int:
        return int(self._row is not None)

    def room(self, requests: Sequence[GenerationRequest]) -> int:
        return 0 if self._row else min(1, len(requests))

    def admit(self, rows: Sequence[Growing]) -> list[Growing]:
        if rows:
            (self._row,) = rows
            self.taken.set()
        return []

    def step(self) -> list[Growing]:
        row = self._row
        if row is None:
            return []
        assert row.listener is not None
        assert self.steps.acquire(timeout=SECONDS)
        self._count += 1
        if row.listener.gone:
            self.left.set()
            row.answer = Answer("", self._count, "left", ended=False)
            self._row = None
            return [row]
        if self._count == self._fail_at:
            raise ValueError("the card is gone")
        if self._count == self.finish_at:
            row.answer = Answer("a" * self._count, self._count, "stop", ended=False)
            self._row = None
            return [row]
        row.listener.hear("a", 7, None)
        return []

    def clear(self) -> None:
        self._row = None


@pytest.fixture
def stepped(base_folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Server, SteppedDecoder]]:
    decoder = SteppedDecoder(getattr(request, "param", None))
    model = ServedModel(base_folder, {})
    model.encoder = encoder()
    engine = BatchingEngine(lambda: decoder, on_failure=lambda: None)
    with running_server(engine, model) as running:
        yield running, decoder
        decoder.steps.release(2000)


def test_each_piece_is_sent_when_it_is_made(stepped: tuple[Server, SteppedDecoder]) -> None:
    server, decoder = stepped
    decoder.steps.release()
    connection, answer = stream(server, CHAT | {"stream": True})
    reader = EventReader()
    found: list[Any] = []
    for wanted in range(2, 6):  # the opening and one piece; then one more at a time
        while len(found) < wanted:
            found += reader.feed(answer.read1(65536))
        assert len(found) == wanted
        decoder.steps.release()
    answer.close()
    connection.close()


def test_a_client_that_leaves_ends_its_generation(stepped: tuple[Server, SteppedDecoder]) -> None:
    server, decoder = stepped
    decoder.steps.release()
    connection, answer = stream(server, CHAT | {"stream": True})
    assert answer.read1(10)
    answer.close()
    connection.close()
    for _ in range(200):
        decoder.steps.release()
        if decoder.left.wait(0.02):
            break
    assert decoder.left.is_set()


def test_a_client_that_leaves_before_its_whole_answer_ends_its_generation(
    stepped: tuple[Server, SteppedDecoder],
) -> None:
    server, decoder = stepped
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    connection.request("POST", "/invocations", json.dumps(CHAT), {"Content-Type": "application/json"})
    assert decoder.taken.wait(SECONDS)
    connection.close()
    for _ in range(200):
        decoder.steps.release()
        if decoder.left.wait(0.02):
            break
    assert decoder.left.is_set()


@pytest.mark.parametrize("stepped", [3], indirect=True)
def test_an_error_in_the_middle_is_a_typed_event_and_the_last(
    stepped: tuple[Server, SteppedDecoder],
) -> None:
    server, decoder = stepped
    decoder.steps.release(3)
    found, ended = documents(server, CHAT | {"stream": True})
    assert found[-1]["error"] == {
        "message": "ValueError: the card is gone",
        "type": "server_error",
        "param": None,
        "code": 500,
    }
    assert not ended
    assert [chunk["choices"][0]["delta"]["content"] for chunk in found[:-1]] == ["", "a", "a"]


def test_a_stream_that_the_end_of_the_server_cuts_says_so(base_folder: Path) -> None:
    decoder = SteppedDecoder()
    model = ServedModel(base_folder, {})
    model.encoder = encoder()
    engine = BatchingEngine(lambda: decoder, on_failure=lambda: None)
    with running_server(engine, model, drain=0.2) as server:
        decoder.steps.release()
        connection, answer = stream(server, CHAT | {"stream": True})
        reader = EventReader()
        found = list(reader.feed(answer.read1(65536)))
        server.running.should_exit = True
        time.sleep(0.4)  # longer than the drain
        decoder.steps.release()
        found += reader.feed(answer.read())
        connection.close()
    assert (found[-1]["error"]["type"], found[-1]["error"]["code"]) == ("stopping", 503)
    assert not reader.ended


def test_a_stream_in_flight_is_whole_when_the_server_is_asked_to_stop(
    stepped: tuple[Server, SteppedDecoder],
) -> None:
    server, decoder = stepped
    decoder.steps.release()
    connection, answer = stream(server, CHAT | {"stream": True})
    reader = EventReader()
    found = list(reader.feed(answer.read1(65536)))
    server.running.should_exit = True
    decoder.finish_at = 6
    decoder.steps.release(5)
    found += reader.feed(answer.read())
    connection.close()
    assert reader.ended
    assert found[-1]["choices"][0]["finish_reason"] == "stop"


def test_a_stream_that_takes_too_long_ends_with_a_typed_event(base_folder: Path) -> None:
    decoder = SteppedDecoder()
    model = ServedModel(base_folder, {})
    model.encoder = encoder()
    engine = BatchingEngine(lambda: decoder, on_failure=lambda: None)
    with running_server(engine, model, timeout=0.3) as server:
        decoder.steps.release()
        found, ended = documents(server, CHAT | {"stream": True})
        decoder.steps.release(1000)
    assert found[-1]["error"]["type"] == "timed_out"
    assert not ended


@pytest.mark.parametrize("stepped", [1], indirect=True)
def test_an_error_before_the_first_piece_is_a_status(stepped: tuple[Server, SteppedDecoder]) -> None:
    server, decoder = stepped
    decoder.steps.release(3)
    status, body = server.invoke(CHAT | {"stream": True})
    assert (status, body["error"]["message"]) == (500, "ValueError: the card is gone")
