"""What a service of the local AWS answers: errors, and how each protocol prints them."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from ift_sagemaker.errors import IFTError

JSON_TYPE = "application/x-amz-json-1.1"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ServiceError(IFTError):
    """A refusal as AWS would send it: `code`, `message`, HTTP `status`.

    `details` are further members of a modelled error shape (for example `OriginalStatusCode`).
    """

    code: str
    status: int
    details: dict[str, Any]

    def __init__(
        self, code: str, message: str, status: int = 400, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, code=code, status=status, details=dict(details or {}))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.code, self.message, self.status, self.details))


@dataclass(frozen=True)
class HTTPAnswer:
    """One HTTP answer. A `body` that is no `bytes` is streamed; its `close`, if any, is called at the end."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""


def not_offered(operation: str) -> ServiceError:
    """The typed refusal of an operation that the local AWS does not have."""
    return ServiceError(
        "UnsupportedOperation", f"{operation} is not offered by the local AWS of ift_sagemaker", 400
    )


def disk_full(path: object) -> ServiceError:
    """The refusal of a write for want of space; botocore does not retry a 507."""
    return ServiceError(
        "InsufficientStorage",
        f"The disk that holds {path} is full or over quota; nothing was stored. Free some space, then retry.",
        507,
    )


def json_error(error: ServiceError, request_id: str) -> HTTPAnswer:
    """`error` in json 1.1 and rest-json: the code as `__type` in the body and as `x-amzn-ErrorType`."""
    document = {"__type": error.code, "message": error.message, "Message": error.message, **error.details}
    headers = {
        "Content-Type": JSON_TYPE,
        "x-amzn-ErrorType": error.code,
        "x-amzn-RequestId": request_id,
    }
    return HTTPAnswer(error.status, headers, json.dumps(document).encode())


def s3_error(error: ServiceError, request_id: str, resource: str) -> HTTPAnswer:
    """`error` as S3 prints it."""
    members = {
        "Code": error.code,
        "Message": error.message,
        **error.details,
        "Resource": resource,
        "RequestId": request_id,
        "HostId": "local",
    }
    inner = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in members.items())
    return _xml(error.status, request_id, f"<Error>{inner}</Error>")


def query_error(error: ServiceError, request_id: str, namespace: str = "") -> HTTPAnswer:
    """`error` in the query protocol (STS, IAM and their like)."""
    fault = "Sender" if error.status < 500 else "Receiver"
    inner = (
        f"<Error><Type>{fault}</Type><Code>{escape(error.code)}</Code>"
        f"<Message>{escape(error.message)}</Message></Error><RequestId>{request_id}</RequestId>"
    )
    attribute = f' xmlns="{namespace}"' if namespace else ""
    return _xml(error.status, request_id, f"<ErrorResponse{attribute}>{inner}</ErrorResponse>")


def cbor_error(error: ServiceError, request_id: str) -> HTTPAnswer:
    """`error` in Smithy's RPC v2 CBOR protocol."""
    members = (("__type", error.code), ("message", error.message))
    body = b"\xa2" + b"".join(_cbor_text(text) for member in members for text in member)
    headers = {
        "Content-Type": "application/cbor",
        "smithy-protocol": "rpc-v2-cbor",
        "x-amzn-RequestId": request_id,
    }
    return HTTPAnswer(error.status, headers, body)


def _cbor_text(text: str) -> bytes:
    encoded = text.encode()
    return b"\x79" + len(encoded).to_bytes(2, "big") + encoded


def _xml(status: int, request_id: str, document: str) -> HTTPAnswer:
    headers = {"Content-Type": "application/xml", "x-amz-request-id": request_id}
    return HTTPAnswer(status, headers, f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode())
