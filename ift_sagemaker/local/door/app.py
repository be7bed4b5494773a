"""The local AWS as one WSGI application: find the service, dispatch, print its answer or its refusal."""

from __future__ import annotations

import logging
import re
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any

from ift_sagemaker.local.context import has_no_space
from ift_sagemaker.local.door import json_services, moto_fall_through
from ift_sagemaker.local.door.presigned import check_expiry
from ift_sagemaker.local.identity import query
from ift_sagemaker.local.identity.service import IAM, STS
from ift_sagemaker.local.protocol.errors import (
    DISK_FULL,
    HTTPAnswer,
    ServiceError,
    cbor_error,
    disk_full,
    json_error,
    not_offered,
    query_error,
    s3_error,
)
from ift_sagemaker.local.protocol.request import Request, from_wsgi
from ift_sagemaker.local.s3 import service as s3
from ift_sagemaker.local.s3.bucket_operations import AWS_OWNED
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.weather.profile import Weather, weather_of
from ift_sagemaker.local.weather.sky import Sky

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Answer = Callable[[Context, Request], HTTPAnswer]
Print = Callable[[ServiceError, Request], HTTPAnswer]

_LOG = logging.getLogger(__name__)
_WITHOUT_BODY = (204, 304)
_FORM = "application/x-www-form-urlencoded"
_REST_XML_SERVICES = ("cloudfront", "route53", "s3-outposts", "s3express")
_INVOCATION = re.compile(r"/endpoints/(?P<endpoint>[^/]+)/(?P<action>[a-z-]+)")
_HOSTING = "ift_sagemaker.local.hosting"
_INVOCATIONS = {
    "invocations": (f"{_HOSTING}.runtime", "invoke_endpoint"),
    "invocations-response-stream": (f"{_HOSTING}.streaming", "invoke_with_response_stream"),
    "async-invocations": (f"{_HOSTING}.asynchronous", "invoke_endpoint_async"),
}
_OPENAI = re.compile(r"/endpoints/[^/]+/(inference-components/[^/]+/)?openai/.*")
_OTHER_INVOCATIONS = {"invocations-bidirectional-stream": "InvokeEndpointWithBidirectionalStream"}


@dataclass(frozen=True)
class _Service:
    """Who answers a request, and how its refusals are printed."""

    answer: Answer
    print_error: Print


def create_app(context: Context, weather: Weather | None = None) -> WSGIApplication:
    """A WSGI application (PEP 3333), safe for many threads, that answers as AWS would.

    `weather` goes before that of the settings.
    """
    return Application(context, weather or weather_of(context.settings))


class Application:
    """Answers every request, the failed ones included, in the protocol it was asked in."""

    def __init__(self, context: Context, weather: Weather | None = None) -> None:
        self._context = context
        self._sky = Sky(context, weather) if weather else None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = self._answer(environ)
        return _sent(answer, environ, start_response, self._context.clock())

    def _answer(self, environ: dict[str, Any]) -> HTTPAnswer:
        request_id = str(uuid.uuid4())
        try:
            request = from_wsgi(environ, request_id)
        except ServiceError as error:
            return json_error(error, request_id)
        service = service_of(request)
        try:
            if self._sky:
                return self._sky.answer(service.answer, request)
            return service.answer(self._context, request)
        except ServiceError as error:
            return service.print_error(error, request)
        except Exception as error:  # noqa: BLE001 - a service answers; what failed is logged and named
            return service.print_error(_as_service_error(error, self._context, request), request)


def refused(
    environ: dict[str, Any], start_response: Callable[..., Any], error: ServiceError
) -> Iterable[bytes]:
    """The WSGI answer that refuses a request before any service sees it, in the protocol it was asked in."""
    request_id = str(uuid.uuid4())
    try:
        request = from_wsgi(environ, request_id)
        answer = service_of(request).print_error(error, request)
    except ServiceError:
        answer = json_error(error, request_id)
    return _sent(answer, environ, start_response, time.time())


def _sent(
    answer: HTTPAnswer, environ: dict[str, Any], start_response: Callable[..., Any], now: float
) -> Iterable[bytes]:
    headers = {"Date": formatdate(now, usegmt=True), **answer.headers}
    body = answer.body
    if isinstance(body, bytes):
        body = [b"" if environ["REQUEST_METHOD"].upper() == "HEAD" else body]
        if answer.status not in _WITHOUT_BODY:
            headers.setdefault("Content-Length", str(len(body[0])))
            headers.setdefault("Content-Type", "application/octet-stream")
    start_response(_status_line(answer.status), list(headers.items()))
    return body


def service_of(request: Request) -> _Service:
    """The service a request is for: by its target, its signature's scope, or its host."""
    _, scope = request.scope
    if scope in moto_fall_through.SERVICES:
        is_json = "x-amz-target" in request.headers
        return _Service(moto_fall_through.answer, _print_json if is_json else _print_query)
    if not scope and _OPENAI.fullmatch(request.path):  # a bearer token has no scope
        return _Service(_openai, _print_openai)
    if "x-amz-target" in request.headers:
        return _Service(json_services.answer, _print_json)
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return _Service(_refuse_path, _print_cbor)
    if scope == "s3" or (not scope and s3.is_host(request.host)):
        return _Service(_s3, _print_s3)
    return _other_service(request, scope)


def _other_service(request: Request, scope: str) -> _Service:
    for identity in (STS, IAM):
        if _is_of(request, scope, identity.name):
            return _Service(identity.answer, identity.print_error)
    if request.headers.get("content-type", "").startswith(_FORM):
        return _Service(_refuse_form, _print_query)
    if _is_of(request, scope, "sagemaker") or request.host.startswith("runtime.sagemaker."):
        return _Service(_runtime, _print_json)
    return _Service(_refuse_path, _print_s3 if scope in _REST_XML_SERVICES else _print_json)


def _is_of(request: Request, scope: str, service: str) -> bool:
    return scope == service or (not scope and request.host.startswith(f"{service}."))


def _s3(context: Context, request: Request) -> HTTPAnswer:
    check_expiry(request.query, context.clock())
    bucket, _ = s3.address(request.host, request.path)
    if bucket.startswith(AWS_OWNED):
        from ift_sagemaker.local.hub import content

        return content.answer_s3(context, request)
    return s3.answer(context, request)


def _runtime(context: Context, request: Request) -> HTTPAnswer:
    asked = _INVOCATION.fullmatch(request.path)
    if request.method != "POST" or asked is None:
        raise not_offered(f"{request.method} {request.path}")
    if asked["action"] not in _INVOCATIONS:
        raise not_offered(_OTHER_INVOCATIONS.get(asked["action"], request.path))
    body = request.document()
    module, function = _INVOCATIONS[asked["action"]]
    invoke: Callable[..., HTTPAnswer] = getattr(import_module(module), function)
    return invoke(context, asked["endpoint"], request.headers, body)


def _openai(context: Context, request: Request) -> HTTPAnswer:
    answer: HTTPAnswer = import_module(f"{_HOSTING}.openai").answer(context, request)
    return answer


def _print_openai(error: ServiceError, request: Request) -> HTTPAnswer:
    answer: HTTPAnswer = import_module(f"{_HOSTING}.openai").refusal(error, request)
    return answer


def _refuse_form(_: Context, request: Request) -> HTTPAnswer:
    raise not_offered(f"{request.scope[1] or request.host}:{query.operation_of(request)}")


def _refuse_path(_: Context, request: Request) -> HTTPAnswer:
    raise not_offered(f"{request.method} {request.path} of {request.scope[1] or request.host}")


def _print_json(error: ServiceError, request: Request) -> HTTPAnswer:
    return json_error(error, request.id)


def _print_cbor(error: ServiceError, request: Request) -> HTTPAnswer:
    return cbor_error(error, request.id)


def _print_query(error: ServiceError, request: Request) -> HTTPAnswer:
    return query_error(error, request.id)


def _print_s3(error: ServiceError, request: Request) -> HTTPAnswer:
    return s3_error(error, request.id, request.path)


def _as_service_error(error: Exception, context: Context, request: Request) -> ServiceError:
    if _is_disk_full(error, context.settings.root):
        return disk_full(context.settings.root)
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return ServiceError("ServiceUnavailable", "The state of the local AWS is busy; ask again", 503)
    _LOG.warning("%s %s failed inside the local AWS: %r", request.method, request.path, error)
    _LOG.debug("its traceback", exc_info=error)
    return ServiceError("InternalFailure", f"The local AWS failed: {type(error).__name__}: {error}", 500)


def _is_disk_full(error: Exception, root: Path) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        # SQLite calls a full disk an I/O error where it was a page of its log that did not fit
        return "disk is full" in str(error) or ("disk I/O" in str(error) and has_no_space(root))
    return isinstance(error, OSError) and error.errno in DISK_FULL


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Answer"
