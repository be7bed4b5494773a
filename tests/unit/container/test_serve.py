"""The server over a real loopback socket."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn

from ift_sagemaker.container.engine import MAX_WAITING, BatchingEngine
from ift_sagemaker.container.generation import Decoder, GenerationRequest
from ift_sagemaker.container.serve import DrainingServer, ServedModel, bind_address, create_app
from tests.unit.container.test_engine import ROOM, DyingDecoder, GatedDecoder
from tests.unit.container.tiny import encoder, make_model, make_tokenizer, turns

CHAT = {"messages": [{"role": "user", "content": "two and two?"}], "max_tokens": 6}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what the hosting contract asks for inside a container


@dataclass
class Server:
    """A client of a running server."""

    port: int
    running: DrainingServer

    def call(
        self, method: str, path: str, body: Any = None, extra: Mapping[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        content = body if isinstance(body, bytes) or body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json", **(extra or {})})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, json.loads(text) if text else None, headers

    def invoke(self, body: Any) -> tuple[int, Any]:
        return self.call("POST", "/invocations", body)[:2]


@contextmanager
def running_server(
    engine: BatchingEngine, model: ServedModel, timeout: float = 60, drain: float = 30
) -> Iterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(engine, model, timeout), log_level="warning")
    running = DrainingServer(config, engine, drain)
    thread = threading.Thread(target=running.run, args=([listener],))
    thread.start()
    try:
        yield Server(listener.getsockname()[1], running)
    finally:
        running.should_exit = True
        thread.join(30)
        listener.close()


@dataclass
class Gate:
    """Holds a model back from loading until opened."""

    opened: threading.Event
    loaded: threading.Event


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(threading.Event(), threading.Event())


@pytest.fixture(scope="module")
def server(base_folder: Path, gate: Gate) -> Iterator[Server]:
    model = ServedModel(base_folder, {"IFT_DTYPE": "float32"})

    def load() -> Decoder:
        assert gate.opened.wait(30)
        decoder = model.load()
        gate.loaded.set()
        return decoder

    with running_server(BatchingEngine(load, on_failure=gate.loaded.set), model) as running:
        yield running


@pytest.fixture(scope="module")
def ready_server(server: Server, gate: Gate) -> Server:
    before = server.call("GET", "/ping")[0], server.invoke(CHAT)
    assert before[0] == 503
    assert (before[1][0], before[1][1]["error"]["type"]) == (503, "not_ready")
    gate.opened.set()
    assert gate.loaded.wait(30)
    while server.call("GET", "/ping")[0] != 200:
        pass
    return server


def greedy(prompt: list[int], count: int) -> str:
    ids = torch.tensor([prompt])
    output = make_model().generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False
    )
    return str(make_tokenizer().decode(output[0, len(prompt) :], skip_special_tokens=True))


def test_ping_is_200_only_once_a_token_was_produced(ready_server: Server) -> None:
    """The fixture saw 503 from /ping and /invocations while the model was loading."""
    assert ready_server.call("GET", "/ping")[0] == 200


def test_a_greedy_chat_equals_transformers_own_answer(ready_server: Server) -> None:
    status, body = ready_server.invoke(CHAT)
    prompt = encoder().prompt(turns("two and two?"))
    assert status == 200
    assert body["choices"][0]["message"] == {"role": "assistant", "content": greedy(prompt, 6)}
    assert body["usage"]["prompt_tokens"] == len(prompt)
    assert body["usage"]["total_tokens"] == len(prompt) + body["usage"]["completion_tokens"]


def test_the_other_two_schemas_answer_too(ready_server: Server) -> None:
    prompt = make_tokenizer()("two and")["input_ids"]
    status, body = ready_server.invoke({"prompt": "two and", "max_tokens": 5})
    assert (status, body["choices"][0]["text"]) == (200, greedy(prompt, 5))
    status, body = ready_server.invoke({"inputs": ["two", "one"], "parameters": {"max_new_tokens": 5}})
    wanted = [greedy(encoder().prompt(turns(text)), 5) for text in ("two", "one")]
    assert (status, [entry["generated_text"] for entry in body]) == (200, wanted)


def test_many_at_once_get_the_answers_they_would_get_alone(ready_server: Server) -> None:
    questions = [f"{'colour ' * place}?" for place in range(12)]
    bodies = [{"messages": [{"role": "user", "content": text}], "max_tokens": 6} for text in questions]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ready_server.invoke, bodies))
    wanted = [greedy(encoder().prompt(turns(text)), 6) for text in questions]
    assert [body["choices"][0]["message"]["content"] for _, body in answers] == wanted


def test_a_seed_repeats_a_sample(ready_server: Server) -> None:
    body = CHAT | {"temperature": 2.0, "seed": 5, "max_tokens": 20}
    texts = {ready_server.invoke(body)[1]["choices"][0]["message"]["content"] for _ in range(3)}
    assert len(texts) == 1


def test_what_cannot_be_answered_is_refused_as_json_naming_the_field(ready_server: Server) -> None:
    status, body = ready_server.invoke(CHAT | {"best_of": 2})
    assert (status, body["error"]["type"], body["error"]["param"]) == (400, "not_supported", "best_of")
    status, body = ready_server.invoke(b"{")
    assert (status, body["error"]["param"]) == (400, "body")
    status, body = ready_server.invoke(b"[" * 100_000)
    assert (status, body["error"]["param"]) == (400, "body")
    status, body = ready_server.invoke(rb'{"inputs": "\ud800"}')
    assert (status, body["error"]["param"]) == (400, "body")
    status, body = ready_server.invoke(b" " * (6 * 2**20 + 1))
    assert status == 413


def test_too_many_at_once_are_asked_to_come_again(base_folder: Path) -> None:
    decoder = GatedDecoder()
    engine = BatchingEngine(lambda: decoder, on_failure=lambda: None)
    model = ServedModel(base_folder, {})
    model.encoder = encoder()
    with running_server(engine, model) as server:
        first = engine.submit([GenerationRequest([1], 1)] * ROOM)[0]
        assert decoder.entered.acquire(timeout=30)
        engine.submit([GenerationRequest([1], 1)] * MAX_WAITING)
        status, body, headers = server.call("POST", "/invocations", CHAT)
        decoder.gate.release(1000)
        assert first.result(30)
    assert (status, body["error"]["type"], headers["retry-after"]) == (429, "overloaded", "1")


def test_ping_is_503_once_the_engine_has_died_and_requests_are_told_so(base_folder: Path) -> None:
    engine = BatchingEngine(DyingDecoder, on_failure=lambda: None)
    model = ServedModel(base_folder, {})
    model.encoder = encoder()
    with running_server(engine, model) as server:
        while server.call("GET", "/ping")[0] != 200:
            pass
        for _ in range(2):
            status, body = server.invoke(CHAT)
            assert (status, body["error"]["type"]) == (503, "stopping")
            assert "died" in body["error"]["message"]
        engine.close(30)
        assert server.call("GET", "/ping")[0] == 503


def test_an_answer_that_takes_too_long_is_a_typed_error_and_ends_its_generation(base_folder: Path) -> None:
    decoder = GatedDecoder()
    engine = BatchingEngine(lambda: decoder, on_failure=lambda: None)
    model = ServedModel(base_folder, {})
    model.encoder = encoder()
    with running_server(engine, model, timeout=0.2) as server:
        for stream in (False, True):
            status, body = server.invoke(CHAT | {"stream": stream})
            assert (status, body["error"]["type"]) == (504, "timed_out")
            assert "0.2 seconds" in body["error"]["message"]
        decoder.gate.release(1000)


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, (EVERYWHERE, 8080)),
        ({"SAGEMAKER_BIND_TO_PORT": "9001"}, (EVERYWHERE, 9001)),
        ({"IFT_ML_ROOT": "/somewhere"}, ("127.0.0.1", 8080)),
        ({"IFT_BIND_HOST": "127.0.0.1"}, ("127.0.0.1", 8080)),
    ],
)
def test_the_address_follows_the_hosting_contract(
    environment: dict[str, str], address: tuple[str, int]
) -> None:
    assert bind_address(environment) == address
