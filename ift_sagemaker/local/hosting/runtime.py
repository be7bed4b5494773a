"""SageMaker Runtime: InvokeEndpoint, passed on to the endpoint's program on its loopback port.

Source of limits: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException

from ift_sagemaker.local.hosting.admission import (
    PREFIX,
    Admission,
    admit,
    in_service,
    refuse_parts,
    refused,
    unavailable,
)
from ift_sagemaker.local.hosting.document import log_group
from ift_sagemaker.local.hosting.exchange import Exchange, TooLarge
from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.state.settings import Context

PASSED = {
    "content-type": "Content-Type",
    "accept": "Accept",
    f"{PREFIX}custom-attributes": "X-Amzn-SageMaker-Custom-Attributes",
    f"{PREFIX}session-id": "X-Amzn-SageMaker-Session-Id",
    f"{PREFIX}inference-id": "X-Amzn-SageMaker-Inference-Id",
}
RETURNED = (
    "X-Amzn-SageMaker-Custom-Attributes",
    "X-Amzn-SageMaker-New-Session-Id",
    "X-Amzn-SageMaker-Closed-Session-Id",
)
VARIANT = "x-Amzn-Invoked-Production-Variant"
_MAX_ORIGINAL = 4096


def invoke_endpoint(
    context: Context, endpoint_name: str, headers: Mapping[str, str], body: bytes
) -> HTTPAnswer:
    """The container's answer. `headers` have lower-case names.

    Raises:
        ServiceError: no such endpoint, not in service, too large, or a ModelError from the container.
    """
    limit = context.settings.payload_bytes
    refuse_parts("InvokeEndpoint", headers)
    with admit(context, endpoint_name, headers.get(f"{PREFIX}target-variant", "")) as admission:
        check_size(body, limit)
        passed = {name: headers[key] for key, name in PASSED.items() if key in headers}
        with opened(context, admission, passed, body, context.settings.invocation_in_seconds) as exchange:
            try:
                answer = exchange.rest(limit)
            except TooLarge:
                message = f"The response of the container is larger than {limit} bytes"
                raise model_error(context, admission, 0, message) from None
            except (OSError, HTTPException) as error:
                raise failure(context, admission, error) from error
        refuse_errors(context, admission, exchange.status, answer)
        content_type = exchange.headers.get("content-type", "application/octet-stream")
        told = {"Content-Type": content_type, **handed_on(exchange, admission)}
        return HTTPAnswer(200, told, answer)


def check_size(body: bytes, limit: int) -> None:
    """A ServiceError for a body above the limit."""
    if len(body) > limit:
        raise refused(f"The request body has {len(body)} bytes, allowed are at most {limit}")


def opened(
    context: Context, admission: Admission, headers: Mapping[str, str], body: bytes, seconds: float
) -> Exchange:
    """The exchange, as soon as the container's status is there; a ServiceError where it does not come."""
    try:
        return Exchange(admission.port, headers, body, seconds)
    except (OSError, HTTPException) as error:
        raise failure(context, admission, error, seconds) from error


def refuse_errors(context: Context, admission: Admission, status: int, answer: bytes) -> None:
    """A ModelError where the container answered with an error."""
    if status >= 400:
        raise model_error(context, admission, status, answer.decode("utf-8", "replace"))


def handed_on(exchange: Exchange, admission: Admission) -> dict[str, str]:
    """Headers of the container that go to the client, and which variant it was."""
    named = {name: exchange.headers[name.lower()] for name in RETURNED if name.lower() in exchange.headers}
    return {**named, VARIANT: admission.variant["name"]}


def failure(
    context: Context, admission: Admission, error: Exception, seconds: float | None = None
) -> ServiceError:
    """What to say when no answer came: the endpoint's state where it is no longer in service."""
    name = admission.endpoint["EndpointName"]
    if isinstance(error, TimeoutError):
        limit = context.settings.invocation_in_seconds if seconds is None else seconds
        message = "Your invocation timed out while waiting for a response from container primary"
        return model_error(context, admission, 0, f"{message} ({limit:g} seconds)")
    try:
        in_service(context, name)
    except ServiceError as gone:
        return gone
    if isinstance(error, ConnectionRefusedError):  # the request never reached a container
        return unavailable(name)
    return model_error(
        context, admission, 0, f"The container closed the connection: {type(error).__name__}: {error}"
    )


def model_error(context: Context, admission: Admission, status: int, message: str) -> ServiceError:
    """The container's own error as SageMaker tells it."""
    who = "client" if 400 <= status < 500 else "server"
    group = log_group(admission.endpoint["EndpointName"])
    stream = admission.variant["log_stream"]
    arn = context.settings.arn("logs", f"log-group:{group}:log-stream:{stream}")
    shown = message[:_MAX_ORIGINAL]
    return ServiceError(
        "ModelError",
        f'Received {who} error ({status}) from primary with message "{shown}". See the log group {group}'
        f" in account {context.settings.account} for more information.",
        424,
        {"OriginalStatusCode": status, "OriginalMessage": shown, "LogStreamArn": arn},
    )
