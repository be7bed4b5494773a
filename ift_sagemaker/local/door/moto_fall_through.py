"""Services that moto answers in place of the local AWS: KMS, ECR and CloudFormation's plumbing.

Nothing that the local AWS answers itself goes here, so no canned body ever stands for SageMaker, S3, Logs,
STS or IAM. moto keeps all in this process's memory, one state for all roots, and what its CloudFormation
makes is moto's alone: the local AWS does not see it. moto is an extra, off unless `IFT_LOCAL_MOTO` is 1.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from ift_sagemaker.local.identity.query import operation_of
from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.protocol.request import Request
from ift_sagemaker.local.state.settings import Context

SERVICES = ("cloudformation", "ecr", "kms")
EXTRA = "ift-sagemaker[moto]"
_LOG = logging.getLogger(__name__)
_PAGE = re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE)
_OURS = ("content-length", "date", "server")
_PLAIN = ("content-type", "content-length")


def answer(context: Context, request: Request) -> HTTPAnswer:
    """Moto's answer.

    Raises:
        ServiceError: moto is off or not installed, or has no such operation, which it says with a web page;
            (500 InternalFailure) moto itself failed.
    """
    body = request.document()
    operation = f"{request.scope[1]}:{_operation(_with(request, body))}"
    if not context.settings.moto:
        raise _unsupported(
            f"{operation} is not offered by the local AWS of ift_sagemaker itself; with the extra {EXTRA} "
            "installed and IFT_LOCAL_MOTO=1, moto answers it"
        )
    application = _moto()
    if application is None:
        raise _unsupported(f"{operation} is left to moto, which is not installed: pip install '{EXTRA}'")
    try:
        return checked(call(application, request, body), operation)
    except NotImplementedError:
        raise _missing(operation) from None
    except ServiceError:
        raise
    except Exception as error:
        _LOG.debug("moto failed in %s", operation, exc_info=True)
        raise _failed(operation, f"{type(error).__name__}: {error}") from error


def _with(request: Request, body: bytes) -> Request:
    return replace(request, stream=io.BytesIO(body), length=len(body))


def _operation(request: Request) -> str:
    target = request.headers.get("x-amz-target", "")
    return target.rpartition(".")[2] if target else operation_of(request) or request.path


def _unsupported(message: str) -> ServiceError:
    return ServiceError("UnsupportedOperation", message)


@cache
def _moto() -> Any:
    """Moto's WSGI application, which finds the service by the signature; None where it is not installed."""
    try:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    except ImportError:
        return None
    return DomainDispatcherApplication(create_backend_app)


def call(application: Callable[..., Any], request: Request, body: bytes) -> HTTPAnswer:
    """What a WSGI application answers to the request, whose body was read."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], None]:
        started.append((status, headers))
        return lambda _: None

    answered = b"".join(application(_environ(request, body), start))
    status, headers = started[-1]
    kept = {name: value for name, value in headers if name.lower() not in _OURS}
    return HTTPAnswer(int(status.partition(" ")[0]), kept, answered)


def _environ(request: Request, body: bytes) -> dict[str, Any]:
    headers = {
        name.upper().replace("-", "_") if name in _PLAIN else f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in request.headers.items()
    }
    host, _, port = request.host.partition(":")
    return {
        **headers,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode("utf-8").decode("latin-1"),
        "QUERY_STRING": urlencode(request.query),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": request.host,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def checked(found: HTTPAnswer, operation: str) -> HTTPAnswer:
    """The answer, where it is one: moto prints a web page for what it does not have.

    Raises:
        ServiceError: moto has no such operation; (500 InternalFailure) it failed.
    """
    if found.status >= 500 and found.status != HTTPStatus.NOT_IMPLEMENTED:
        raise _failed(operation, f"it answered {found.status}")
    if found.status >= 500 or _PAGE.match(bytes(found.body)):  # type: ignore[arg-type]
        raise _missing(operation)
    return found


def _failed(operation: str, why: str) -> ServiceError:
    return ServiceError("InternalFailure", f"moto, which answers {operation} here, failed: {why}", 500)


def _missing(operation: str) -> ServiceError:
    service = operation.partition(":")[0]
    return _unsupported(f"{operation} is not offered by moto, which answers {service} in the local AWS")
