"""The JSON services (SageMaker, CloudWatch Logs): a request checked, handled, and printed by its shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any

from ift_sagemaker.contract import rules, shapes
from ift_sagemaker.local.protocol.errors import JSON_TYPE, HTTPAnswer, ServiceError, not_offered
from ift_sagemaker.local.protocol.request import Request
from ift_sagemaker.local.state.settings import Context

Handler = Callable[[Context, dict[str, Any]], dict[str, Any]]

# target prefix in X-Amz-Target -> (botocore's service name, the module with OPERATIONS)
SERVICES = {
    "SageMaker": ("sagemaker", "ift_sagemaker.local.door.sagemaker"),
    "Logs_20140328": ("logs", "ift_sagemaker.local.logs.operations"),
}


def answer(context: Context, request: Request) -> HTTPAnswer:
    """The service's answer to a request with an X-Amz-Target header.

    Raises:
        ServiceError: the request is refused, by its shape, a rule, or the operation itself.
    """
    target, _, operation = request.headers["x-amz-target"].partition(".")
    if target not in SERVICES:
        raise not_offered(f"{target}.{operation}" if operation else target)
    service, module = SERVICES[target]
    handler = _handler(module, operation)
    params = _params(request.document())
    check(service, operation, params)
    document = printed(output_shape(service, operation), handler(context, params))
    headers = {"Content-Type": JSON_TYPE, "x-amzn-RequestId": request.id}
    return HTTPAnswer(200, headers, json.dumps(document).encode() if document is not None else b"")


def check(service: str, operation: str, params: Mapping[str, Any]) -> None:
    """Raises the ValidationException that tells all that is wrong with `params`.

    Instance types that the installed botocore does not know pass: AWS adds types faster than anyone upgrades.
    """
    misshapen = shapes.violations(service, operation, params, known_instances_only=False)
    if misshapen:
        count = len(misshapen)
        noun = "error" if count == 1 else "errors"
        raise ServiceError(
            "ValidationException", f"{count} validation {noun} detected: {'; '.join(misshapen)}"
        )
    refused = rules.violations(operation, params) if service == "sagemaker" else []
    if refused:
        raise ServiceError("ValidationException", "; ".join(refused))


def output_shape(service: str, operation: str) -> Any:
    return shapes.service_model(service).operation_model(operation).output_shape


def printed(shape: Any, value: Any) -> Any:
    """`value` as the JSON protocol prints it: known members only, no empty structures, times as numbers.

    None for a structure that has no members left.
    """
    if shape is None or value is None:
        return None
    if shape.type_name == "structure":
        members = {
            name: printed(shape.members[name], item) for name, item in value.items() if name in shape.members
        }
        return {name: item for name, item in members.items() if item is not None} or None
    if shape.type_name == "list":
        return [printed(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: printed(shape.value, item) for key, item in value.items()}
    if shape.type_name == "timestamp" and isinstance(value, datetime):
        return value.timestamp()
    return value


def _handler(module: str, operation: str) -> Handler:
    operations: dict[str, Handler] = import_module(module).OPERATIONS
    try:
        return operations[operation]
    except KeyError:
        raise not_offered(operation) from None


def _params(body: bytes) -> dict[str, Any]:
    try:
        params = json.loads(body or b"{}")
    except ValueError:
        raise ServiceError("SerializationException", "The request body is not JSON") from None
    if not isinstance(params, dict):
        raise ServiceError("SerializationException", "The request body is not a JSON object")
    return params
