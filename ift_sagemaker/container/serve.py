"""`serve`: SageMaker's hosting contract over the batching engine.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from ift_sagemaker.container.adapter_choice import ADAPTERS, found_adapters, load_adapters
from ift_sagemaker.container.encoding import ConversationEncoder, stop_token_ids
from ift_sagemaker.container.engine import BatchingEngine, EngineClosed, QueueFull
from ift_sagemaker.container.generation import Decoder, GenerationRequest, generate
from ift_sagemaker.container.invocations import Invocation, Served, parse_invocation
from ift_sagemaker.container.lifecycle import failure_reason, say
from ift_sagemaker.container.listening import Waiter
from ift_sagemaker.container.parameters import BadRequest
from ift_sagemaker.container.precision import Precision, choose_precision
from ift_sagemaker.container.replies import reply
from ift_sagemaker.container.rounds import RoundDecoder
from ift_sagemaker.container.slots import SlotDecoder
from ift_sagemaker.container.streams import AnswerStream, TookTooLong, error_object
from ift_sagemaker.container.weights import is_adapter, load_tuned
from ift_sagemaker.wire.artifact import ModelCard
from ift_sagemaker.wire.paths import ML_ROOT_VARIABLE, MLPaths

PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"
HOST_VARIABLE = "IFT_BIND_HOST"
BASE_VARIABLE = "IFT_BASE_MODEL_DIR"
DTYPE_VARIABLE = "IFT_DTYPE"
DEFAULT_PORT = 8080
MAX_BODY_BYTES = 6 * 2**20
"""SageMaker's own limit of a synchronous request."""
ADAPTER_HEADER = "X-Amzn-SageMaker-Adapter-Identifier"
"""Read by the containers that follow AWS's `model-hosting-container-standards`."""
DRAIN_SECONDS = 18
CLOSE_SECONDS = 5
"""SageMaker kills 30 s after SIGTERM: answers in flight get the first part, writing them out the second."""
TIMEOUT_VARIABLE = "SAGEMAKER_MODEL_SERVER_TIMEOUT"
"""Seconds for one answer, as SageMaker's own containers name it."""
DEFAULT_TIMEOUT = 3600.0
"""The most that an asynchronous invocation may ask for; a synchronous caller hangs up long before."""


class ClientLeft(Exception):  # noqa: N818 - nobody is there to be told of an error
    """The caller of a request has closed the connection."""


class ServedModel:
    """The model on disk as a decoder, with what parsing needs; filled by `load` in the engine's thread."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self.encoder: ConversationEncoder | None = None
        self.served = Served()

    def load(self) -> Decoder:
        """A decoder that has answered once. Raises WeightsError for an unusable folder."""
        precision = choose_precision(self._environment.get(DTYPE_VARIABLE, "auto"))
        folders = found_adapters(self._folder)
        model, tokenizer = self._model(precision)
        stop_ids = stop_token_ids(model.generation_config, tokenizer)
        adapters = load_adapters(model, tokenizer, folders)
        names = () if adapters is None else adapters.names
        kind = SlotDecoder if SlotDecoder.holds(model) else RoundDecoder
        decoder: Decoder = kind(model, tokenizer, stop_ids, adapters)
        hello = GenerationRequest(tokenizer("Hello")["input_ids"], 2)
        generate(decoder, [hello, *(replace(hello, adapter=name) for name in names)])
        vocabulary = model.config.get_text_config().vocab_size
        self.served = Served(decoder.context, vocabulary, names, self._names())
        self.encoder = ConversationEncoder(tokenizer, stop_ids)
        say(f"ready: {precision.name} on {precision.device}: {precision.reason}; {kind.__name__}")
        return decoder

    def _model(self, precision: Precision) -> tuple[Any, Any]:
        """What lies in the folder itself; where that holds adapters alone, their base."""
        base, has_adapters = self._base(), (self._folder / ADAPTERS).is_dir()
        own = is_adapter(self._folder) or any(self._folder.glob("*.safetensors"))
        alone = has_adapters and not own and base is not None and base.is_dir()
        return load_tuned(base if alone and base is not None else self._folder, base, precision)

    def _names(self) -> tuple[str, ...]:
        """What the model itself is called: by the id of its base, where a card tells it."""
        card = ModelCard.read(self._folder)
        return () if card is None else (card.base_model_id,)

    def _base(self) -> Path | None:
        named = self._environment.get(BASE_VARIABLE)
        return Path(named) if named else self._folder / "base"


def create_app(engine: BatchingEngine, model: ServedModel, timeout: float = DEFAULT_TIMEOUT) -> FastAPI:
    """The HTTP face of an engine, which lives as long as the app does; `timeout` seconds for one answer."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        yield
        await asyncio.to_thread(engine.close, CLOSE_SECONDS)

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/ping")
    async def ping() -> Response:
        return Response(status_code=200 if engine.ready else 503)

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        if model.encoder is None:
            return _error(503, "the model is still loading", "not_ready")
        try:
            body = _with_adapter(await _body(request), request.headers.get(ADAPTER_HEADER), model.served)
            invocation = parse_invocation(body, model.encoder, model.served)
            if invocation.stream:
                return await _streamed(engine, invocation, timeout)
            return JSONResponse(await _generated(engine, invocation, request, timeout))
        except Exception as error:  # noqa: BLE001 - answered as JSON
            return _refusal(error)

    return app


def _refusal(error: Exception) -> JSONResponse:
    match error:
        case ClientLeft() | ClientDisconnect():
            return _error(499, "the caller left before the answer", "client_left")
        case BadRequest():
            return _error(error.status, error.message, error.kind, error.field)
        case QueueFull():
            return _error(429, error.message, "overloaded", headers={"Retry-After": "1"})
        case EngineClosed():
            return _error(503, error.message, "stopping")
        case TookTooLong():
            return _error(504, error.message, "timed_out")
        case _:
            say(f"a request failed: {failure_reason(error)}")
            return _error(500, failure_reason(error), "server_error")


def _with_adapter(body: Any, name: str | None, served: Served) -> Any:
    """The body with the adapter that SageMaker names in a header as its `model`, as its containers do."""
    if not name or not isinstance(body, dict):
        return body
    if name not in served.adapters:
        raise BadRequest(
            f"The adapter `{name}` is not served here", field="model", status=404, kind="model_not_found"
        )
    return {**body, "model": name}


async def _body(request: Request) -> Any:
    content = b""
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_BODY_BYTES:
            raise BadRequest(f"the body is over {MAX_BODY_BYTES} bytes", field="body", status=413)
    try:
        body = json.loads(content)
        if b"\\u" in content:
            json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
        return body
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {failure_reason(error)}", field="body") from error


async def _generated(engine: BatchingEngine, invocation: Invocation, request: Request, seconds: float) -> Any:
    """The whole answer; a caller who leaves before ends the generation."""
    waiters = [Waiter() for _ in invocation.requests]
    futures = engine.submit(invocation.requests, waiters)
    answered = asyncio.gather(*(asyncio.wrap_future(future) for future in futures))
    # nobody asks for its error once the caller has left
    answered.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    left = asyncio.create_task(_left(request))
    either: set[asyncio.Future[Any]] = {answered, left}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED, timeout=seconds)
        if left.done() and not answered.done():
            raise ClientLeft
        if not answered.done():
            raise TookTooLong(seconds)
        return reply(invocation, answered.result(), uuid.uuid4().hex, int(time.time()))
    finally:
        left.cancel()
        answered.cancel()
        for waiter in waiters:
            waiter.gone = True


async def _left(request: Request) -> None:
    """Returns when the caller has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _streamed(engine: BatchingEngine, invocation: Invocation, seconds: float) -> Response:
    stream = AnswerStream(engine, invocation, seconds)
    await stream.begin()
    headers = {"Cache-Control": "no-cache"}
    return _Streaming(stream, headers)


class _Streaming(StreamingResponse):
    """Ends the generation with the answer, also where the client left before the first event."""

    def __init__(self, stream: AnswerStream, headers: Mapping[str, str]) -> None:
        super().__init__(stream.events(), media_type="text/event-stream", headers=headers)
        self._stream = stream

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.leave()


def _error(
    status: int, message: str, kind: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """OpenAI's error object; `param` names the field."""
    content = {"error": error_object(message, kind, status, field)}
    return JSONResponse(content, status_code=status, headers=dict(headers or {}))


def bind_address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Host and port: every interface inside a container, loopback where there is no container around."""
    host = environment.get(HOST_VARIABLE) or ("127.0.0.1" if ML_ROOT_VARIABLE in environment else "0.0.0.0")  # noqa: S104 - the hosting contract
    return host, int(environment.get(PORT_VARIABLE) or DEFAULT_PORT)


def serve(paths: MLPaths, environment: Mapping[str, str]) -> int:
    """Exit code: 0 after SIGTERM, once running requests are answered; 1 where the model did not load."""
    transformers.utils.logging.disable_progress_bar()
    card = ModelCard.read(paths.model) if paths.model.is_dir() else None
    if card is not None and card.unfinished:
        say(f"WARNING: this model is unfinished, {card.steps} of {card.total_steps} steps")
    model = ServedModel(paths.model, environment)
    host, port = bind_address(environment)
    servers: list[uvicorn.Server] = []
    engine = BatchingEngine(model.load, on_failure=_stopper(servers))
    timeout = float(environment.get(TIMEOUT_VARIABLE) or DEFAULT_TIMEOUT)
    config = uvicorn.Config(
        create_app(engine, model, timeout),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_SECONDS + CLOSE_SECONDS,
    )
    servers.append(DrainingServer(config, engine))
    servers[0].run()
    if engine.failure is not None:
        raise engine.failure
    return 0


class DrainingServer(uvicorn.Server):
    """Ends the engine first: what it cannot answer in time gets an error, not a broken connection."""

    def __init__(
        self, config: uvicorn.Config, engine: BatchingEngine, seconds: float = DRAIN_SECONDS
    ) -> None:
        super().__init__(config)
        self._engine, self._seconds = engine, seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # a model that still loads has nothing to answer
        seconds = self._seconds if self._engine.ready else CLOSE_SECONDS
        closing = asyncio.create_task(asyncio.to_thread(self._engine.close, seconds))
        await super().shutdown(sockets)
        await closing


def _stopper(servers: list[uvicorn.Server]) -> Callable[[], None]:
    def stop() -> None:
        for server in servers:
            server.should_exit = True

    return stop
