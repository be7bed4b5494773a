"""InvokeEndpointAsync: a request is put on disk, answered 202, and worked off by the endpoint's supervisor.

Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointAsync.html.
General knowledge, unverified: the names `ID.out` and `ID-error.out` below the two S3 paths.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping

from ift_sagemaker.local.hosting.accepted import AcceptedRequests, AsyncRequest
from ift_sagemaker.local.hosting.admission import PREFIX, in_service, refused
from ift_sagemaker.local.protocol.errors import HTTPAnswer
from ift_sagemaker.local.state.resources import Document, not_offered_yet, split_s3
from ift_sagemaker.local.state.settings import Context

OPERATION = "InvokeEndpointAsync"
MAX_INLINE = 128_000
MAX_INVOCATION = 3600
_PASSED = {
    "content-type": "Content-Type",
    "accept": "Accept",
    "custom-attributes": "X-Amzn-SageMaker-Custom-Attributes",
    "inference-id": "X-Amzn-SageMaker-Inference-Id",
}
_OWN = ("inputlocation", "s3outputpathextension", "filename", "requestttlseconds", "invocationtimeoutseconds")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_EXTENSION = re.compile(r"(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]{1,512}")
_FILENAME = re.compile(r"(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9-_.]{0,31}")


def invoke_endpoint_async(
    context: Context, endpoint_name: str, headers: Mapping[str, str], body: bytes
) -> HTTPAnswer:
    """202 with where answer or failure will be. `headers` have lower-case names.

    Raises:
        ServiceError: no asynchronous endpoint in service, or a request that AWS would not accept.
    """
    given = {name.removeprefix(PREFIX): value for name, value in headers.items() if name.startswith(PREFIX)}
    for name in given:
        if name not in _PASSED and name not in _OWN:
            raise not_offered_yet(f"{OPERATION} with {PREFIX}{name}")
    endpoint = in_service(context, endpoint_name)
    if not endpoint["_fleet"]["async"]:
        # AWS's own words are not known
        raise refused(f"Endpoint {endpoint_name} has no AsyncInferenceConfig; ask it by InvokeEndpoint")
    request = _request(context, endpoint, given, body)
    if not AcceptedRequests(context.store, endpoint).add(request, body):
        raise refused(f"Endpoint {endpoint_name} of account {context.settings.account} is not in service.")
    told = {
        "Content-Type": "application/json",
        "X-Amzn-SageMaker-OutputLocation": request.output,
        **({"X-Amzn-SageMaker-FailureLocation": request.failure} if request.failure else {}),
    }
    return HTTPAnswer(202, told, json.dumps({"InferenceId": request.inference_id}).encode())


def _request(context: Context, endpoint: Document, given: Mapping[str, str], body: bytes) -> AsyncRequest:
    source = given.get("inputlocation", "")
    if bool(source) == bool(body):
        raise refused("Give exactly one of Body and InputLocation")
    if len(body) > MAX_INLINE:
        raise refused(f"The request body has {len(body)} bytes, allowed are at most {MAX_INLINE}")
    if source:
        split_s3(source)
    name = uuid.uuid4().hex
    identity = given.get("inference-id") or name
    output = endpoint["_fleet"]["async"]["OutputConfig"]
    failure = output.get("S3FailurePath", "")
    return AsyncRequest(
        inference_id=identity,
        headers={_PASSED[key]: value for key, value in given.items() if key in _PASSED},
        source=source,
        output=_output(output["S3OutputPath"], given, _file_name(identity, name)),
        failure=f"{failure.rstrip('/')}/{_file_name(identity, name)}-error.out" if failure else "",
        accepted=context.clock(),
        timeout=_seconds(given, "invocationtimeoutseconds", (1, MAX_INVOCATION), 900),
        lifetime=_seconds(given, "requestttlseconds", (60, 21600), 21600),
    )


def _file_name(identity: str, unique: str) -> str:
    """Based on the inference id, as the service's model says, and never that of another request."""
    return unique if identity == unique else f"{_UNSAFE.sub('-', identity)}-{unique[:8]}"


def _output(path: str, given: Mapping[str, str], name: str) -> str:
    extension, file = given.get("s3outputpathextension", ""), given.get("filename", f"{name}.out")
    if extension and not _EXTENSION.fullmatch(extension):
        raise refused(f"S3OutputPathExtension {extension!r} is not allowed")
    if not _FILENAME.fullmatch(file) and "filename" in given:
        raise refused(f"Filename {file!r} is not allowed")
    return "/".join(
        part.strip("/") if place else part.rstrip("/")
        for place, part in enumerate(part for part in (path, extension, file) if part)
    )


def _seconds(given: Mapping[str, str], name: str, allowed: tuple[int, int], default: int) -> float:
    text = given.get(name, "")
    if not text:
        return default
    low, high = allowed
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise refused(f"{name}: {text}, allowed is a whole number from {low} to {high}")
    return int(text)
