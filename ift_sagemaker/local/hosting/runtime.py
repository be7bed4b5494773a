"""SageMaker Runtime: InvokeEndpoint, passed on to the endpoint's program on its loopback port.

Source of limits: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse

from ift_sagemaker.local.hosting.document import log_group
from ift_sagemaker.local.hosting.run import HOST
from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.state.resources import ENDPOINT, Document, not_offered_yet
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.reconcile import current

_PREFIX = "x-amzn-sagemaker-"
_PASSED = {
    "content-type": "Content-Type",
    "accept": "Accept",
    f"{_PREFIX}custom-attributes": "X-Amzn-SageMaker-Custom-Attributes",
    f"{_PREFIX}session-id": "X-Amzn-SageMaker-Session-Id",
    f"{_PREFIX}inference-id": "X-Amzn-SageMaker-Inference-Id",
}
_RETURNED = (
    "X-Amzn-SageMaker-Custom-Attributes",
    "X-Amzn-SageMaker-New-Session-Id",
    "X-Amzn-SageMaker-Closed-Session-Id",
)
_REFUSED = ("target-model", "target-container-hostname", "enable-explanations", "inference-component")
_CHUNK = 1 << 16
_MAX_ORIGINAL = 4096


@dataclass(frozen=True)
class InvocationLimits:
    """Bytes of a request or answer, and seconds for an answer."""

    body: int = 6 << 20  # the maximum of BodyBlob in the service's model
    seconds: float = 60.0


class _TooLarge(Exception):  # noqa: N818 - an outcome
    pass


def invoke_endpoint(
    context: Context,
    endpoint_name: str,
    headers: Mapping[str, str],
    body: bytes,
    limits: InvocationLimits | None = None,
) -> HTTPAnswer:
    """The container's answer. `headers` have lower-case names.

    Raises:
        ServiceError: no such endpoint, not in service, too large, or a ModelError from the container.
    """
    limits = limits or InvocationLimits()
    endpoint = _ready(context, endpoint_name, headers)
    if len(body) > limits.body:
        raise _invalid(f"The request body has {len(body)} bytes, allowed are at most {limits.body}")
    passed = {name: headers[key] for key, name in _PASSED.items() if key in headers}
    try:
        status, received, answer = exchange(endpoint["_port"], passed, body, limits)
    except TimeoutError:
        message = (
            "Your invocation timed out while waiting for a response from container primary"
            f" ({limits.seconds:g} seconds)"
        )
        raise _model_error(context, endpoint, 0, message) from None
    except _TooLarge:
        message = f"The response of the container is larger than {limits.body} bytes"
        raise _model_error(context, endpoint, 0, message) from None
    except (OSError, HTTPException) as error:
        raise _unreachable(context, endpoint, error) from error
    if status >= 400:
        raise _model_error(context, endpoint, status, answer.decode("utf-8", "replace"))
    return HTTPAnswer(200, {**received, "x-Amzn-Invoked-Production-Variant": endpoint["_variant"]}, answer)


def _in_service(context: Context, name: str) -> Document:
    """The endpoint; a ServiceError where there is none in service."""
    found = context.store.get(ENDPOINT, name)
    endpoint = current(context, ENDPOINT, found) if found else None
    if endpoint is None:
        raise _invalid(f"Endpoint {name} of account {context.settings.account} not found.")
    if endpoint["EndpointStatus"] != "InService":
        raise _invalid(
            f"Endpoint {name} of account {context.settings.account} is not in service"
            f" (its status is {endpoint['EndpointStatus']})."
        )
    return endpoint


def _ready(context: Context, name: str, headers: Mapping[str, str]) -> Document:
    """The endpoint, in service and able to take this request."""
    endpoint = _in_service(context, name)
    for header in _REFUSED:
        if headers.get(_PREFIX + header):
            raise not_offered_yet(f"InvokeEndpoint with {header}")
    variant = headers.get(f"{_PREFIX}target-variant", endpoint["_variant"])
    if variant != endpoint["_variant"]:
        raise _invalid(f"Variant {variant} not found for Request")
    if endpoint.get("_port") is None:
        raise _unavailable(name)
    return endpoint


def exchange(
    port: int,
    headers: Mapping[str, str],
    body: bytes,
    limits: InvocationLimits,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers to hand on, and body of POST /invocations; all of it within the limits."""
    deadline = monotonic() + limits.seconds
    connection = HTTPConnection(HOST, port, timeout=limits.seconds)
    try:
        connection.request("POST", "/invocations", body, dict(headers))
        link = connection.sock  # http.client forgets it where the container closes after its answer
        response = connection.getresponse()
        answer = bytearray()
        while data := _next(link, response, deadline - monotonic()):
            answer += data
            if len(answer) > limits.body:
                raise _TooLarge
        return response.status, _handed_on(response), bytes(answer)
    finally:
        connection.close()


def _next(link: socket.socket, response: HTTPResponse, left: float) -> bytes:
    if left <= 0:
        raise TimeoutError
    link.settimeout(left)
    return response.read1(_CHUNK)


def _handed_on(response: HTTPResponse) -> dict[str, str]:
    names = {"Content-Type": response.getheader("Content-Type", "application/octet-stream")}
    named = {name: response.getheader(name) for name in _RETURNED}
    return names | {name: value for name, value in named.items() if value is not None}


def _unavailable(name: str) -> ServiceError:
    return ServiceError("ServiceUnavailable", f"The container of endpoint {name} is starting again", 503)


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)


def _unreachable(context: Context, endpoint: Document, error: Exception) -> ServiceError:
    """What to say when the connection broke: the endpoint's state where it is no longer in service."""
    _in_service(context, endpoint["EndpointName"])
    if isinstance(error, ConnectionRefusedError):  # the request never reached a container
        return _unavailable(endpoint["EndpointName"])
    return _model_error(
        context, endpoint, 0, f"The container closed the connection: {type(error).__name__}: {error}"
    )


def _model_error(context: Context, endpoint: Document, status: int, message: str) -> ServiceError:
    who = "client" if 400 <= status < 500 else "server"
    group = log_group(endpoint["EndpointName"])
    arn = context.settings.arn("logs", f"log-group:{group}:log-stream:{endpoint['_log_stream']}")
    shown = message[:_MAX_ORIGINAL]
    return ServiceError(
        "ModelError",
        f'Received {who} error ({status}) from primary with message "{shown}". See the log group {group}'
        f" in account {context.settings.account} for more information.",
        424,
        {"OriginalStatusCode": status, "OriginalMessage": shown, "LogStreamArn": arn},
    )
