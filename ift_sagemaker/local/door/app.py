"""The local AWS as one WSGI application: find the service, dispatch, print its answer or its refusal."""

from __future__ import annotations

import logging
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any

from ift_sagemaker.local.context import has_no_space
from ift_sagemaker.local.door import identity, json_services
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
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.weather.profile import Weather, weather_of
from ift_sagemaker.local.weather.sky import Sky

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Answer = Callable[[Context, Request], HTTPAnswer]
Print = Callable[[ServiceError, Request], HTTPAnswer]

RUNTIME_MODULE = "ift_sagemaker.local.hosting.runtime"
_LOG = logging.getLogger(__name__)
_WITHOUT_BODY = (204, 304)
_FORM = "application/x-www-form-urlencoded"
_REST_XML_SERVICES = ("cloudfront", "route53", "s3-outposts", "s3express")
_INVOCATION = re.compile(r"/endpoints/(?P<endpoint>[^/]+)/(?P<action>[a-z-]+)")
_OTHER_INVOCATIONS = {
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
    "invocations-bidirectional-stream": "InvokeEndpointWithBidirectionalStream",
    "async-invocations": "InvokeEndpointAsync",
}


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
        headers = {"Date": formatdate(self._context.clock(), usegmt=True), **answer.headers}
        body = answer.body
        if isinstance(body, bytes):
            body = [b"" if environ["REQUEST_METHOD"].upper() == "HEAD" else body]
            if answer.status not in _WITHOUT_BODY:
                headers.setdefault("Content-Length", str(len(body[0])))
                headers.setdefault("Content-Type", "application/octet-stream")
        start_response(_status_line(answer.status), list(headers.items()))
        return body

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


def service_of(request: Request) -> _Service:
    """The service a request is for: by its target, its signature's scope, or its host."""
    _, scope = request.scope
    if "x-amz-target" in request.headers:
        return _Service(json_services.answer, _print_json)
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return _Service(_refuse_path, _print_cbor)
    if scope == "s3" or (not scope and s3.is_host(request.host)):
        return _Service(s3.answer, _print_s3)
    if _is_of(request, scope, "sts"):
        return _Service(identity.answer, _print_sts)
    if request.headers.get("content-type", "").startswith(_FORM):
        return _Service(_refuse_form, _print_query)
    if _is_of(request, scope, "sagemaker") or request.host.startswith("runtime.sagemaker."):
        return _Service(_runtime, _print_json)
    return _Service(_refuse_path, _print_s3 if scope in _REST_XML_SERVICES else _print_json)


def _is_of(request: Request, scope: str, service: str) -> bool:
    return scope == service or (not scope and request.host.startswith(f"{service}."))


def _runtime(context: Context, request: Request) -> HTTPAnswer:
    asked = _INVOCATION.fullmatch(request.path)
    if request.method != "POST" or asked is None:
        raise not_offered(f"{request.method} {request.path}")
    if asked["action"] != "invocations":
        raise not_offered(_OTHER_INVOCATIONS.get(asked["action"], request.path))
    body = request.document()
    invoke: Callable[..., HTTPAnswer] = import_module(RUNTIME_MODULE).invoke_endpoint
    return invoke(context, asked["endpoint"], request.headers, body)


def _refuse_form(_: Context, request: Request) -> HTTPAnswer:
    raise not_offered(f"{request.scope[1] or request.host}:{identity.operation_of(request)}")


def _refuse_path(_: Context, request: Request) -> HTTPAnswer:
    raise not_offered(f"{request.method} {request.path} of {request.scope[1] or request.host}")


def _print_json(error: ServiceError, request: Request) -> HTTPAnswer:
    return json_error(error, request.id)


def _print_cbor(error: ServiceError, request: Request) -> HTTPAnswer:
    return cbor_error(error, request.id)


def _print_query(error: ServiceError, request: Request) -> HTTPAnswer:
    return query_error(error, request.id)


def _print_sts(error: ServiceError, request: Request) -> HTTPAnswer:
    return query_error(error, request.id, identity.NAMESPACE)


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
