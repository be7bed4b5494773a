"""The OpenAI-compatible path of an endpoint, for HTTP clients such as the `openai` package.

Documented (https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints-openai-compatible.html): the
path `/endpoints/NAME/openai/v1/chat/completions` of the runtime's host, a bearer token, the container's
answer as it is, streams included. General knowledge, unverified: that nothing but `chat/completions` is
routed; which path the container is asked on (here `/invocations`, the one every container has); the form of a
refusal (here OpenAI's own).
"""

from __future__ import annotations

import json
import re

from ift_sagemaker.local.hosting.admission import admit
from ift_sagemaker.local.hosting.bearer import BadToken, verify
from ift_sagemaker.local.hosting.streaming import Pieces, begin
from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.protocol.request import Request
from ift_sagemaker.local.state.resources import not_offered_yet
from ift_sagemaker.local.state.settings import Context

_PATH = re.compile(
    r"/endpoints/(?P<endpoint>[^/]+)(?P<component>/inference-components/[^/]+)?/openai/v1/(?P<call>.+)"
)
_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


def answer(context: Context, request: Request) -> HTTPAnswer:
    """The container's own answer, status included, piece by piece.

    Raises:
        ServiceError: no valid token, no endpoint in service, or a call that SageMaker does not route.
    """
    asked = _PATH.fullmatch(request.path)
    if asked is None or request.method != "POST" or asked["call"] != "chat/completions":
        raise ServiceError(
            "not_found", f"{request.method} {request.path}: only POST chat/completions is routed", 404
        )
    _authenticate(context, request)
    if asked["component"]:
        raise not_offered_yet("the OpenAI-compatible path of an inference component")
    headers = {
        "Content-Type": request.headers.get("content-type", "application/json"),
        "Accept": request.headers.get("accept", "application/json"),
    }
    exchange, admission = begin(context, admit(context, asked["endpoint"]), headers, request.document())
    told = {"Content-Type": exchange.headers.get("content-type", "application/json")}
    if "content-length" in exchange.headers:
        told["Content-Length"] = exchange.headers["content-length"]
    broken = _error_event if told["Content-Type"].startswith("text/event-stream") else _nothing
    return HTTPAnswer(exchange.status, told, Pieces(exchange, admission, _as_it_is, broken))


def _authenticate(context: Context, request: Request) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ServiceError("invalid_api_key", "There is no bearer token in the Authorization header", 401)
    try:
        verify(token.strip(), context.settings.region, context.clock())
    except BadToken as error:
        raise ServiceError("invalid_api_key", f"The bearer token is refused: {error}", 403) from None


def _as_it_is(data: bytes) -> bytes:
    return data


def _nothing(_: Exception) -> bytes:
    """An answer that is no stream of events just ends short of its length."""
    return b""


def _error_event(error: Exception) -> bytes:
    """A last server-sent event; the `openai` client raises it."""
    message = f"The stream of the container broke: {type(error).__name__}: {error}"
    return b"\n\ndata: " + json.dumps(_error(message, "server_error", "stream_broken")).encode() + b"\n\n"


def refusal(error: ServiceError, request: Request) -> HTTPAnswer:
    """`error` as OpenAI prints one."""
    kind = _KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    headers = {"Content-Type": "application/json", "x-amzn-RequestId": request.id}
    return HTTPAnswer(error.status, headers, json.dumps(_error(error.message, kind, error.code)).encode())


def _error(message: str, kind: str, code: str) -> dict[str, dict[str, str | None]]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
