"""botocore's errors become ours, by code, operation and message.

code or shape                                              → class
ExpiredToken*, UnrecognizedClient*, InvalidClientTokenId,
SignatureDoesNotMatch, InvalidAccessKeyId, no credentials  → CredentialsError
AccessDenied*, 403 without a code                          → AccessDeniedError
InsufficientInstanceCapacity, CapacityError …               → CapacityError
ResourceLimitExceeded, ServiceQuotaExceeded*               → QuotaError
ResourceNotFound, NoSuch*, 404, "could not find …"         → ResourceNotFoundError
ResourceInUse, Conflict*, "already existing …", 409, 412   → ResourceInUseError
Throttling*, TooManyRequests*, SlowDown, RequestLimit*     → ThrottledError
5xx, connection and time-out errors                        → ServiceUnavailableError
any other answer (ValidationException …)                   → RequestRejectedError
UnsupportedOperation (the local AWS alone), NotImplemented → UnsupportedError

Duplicates and absences are untyped for models, endpoint configurations and endpoints, so their messages
decide: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModel.html declares
ResourceLimitExceeded alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boto3.exceptions import Boto3Error, RetriesExceededError
from botocore import exceptions as botocore_errors

from ift_sagemaker.contract.limits import instance_type_of, quota_of
from ift_sagemaker.errors import (
    AccessDeniedError,
    AWSError,
    CapacityError,
    CredentialsError,
    IFTError,
    QuotaError,
    RequestRejectedError,
    ResourceInUseError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    ThrottledError,
    UnsupportedError,
)

_CODES: tuple[tuple[str, type[AWSError]], ...] = (
    (
        r"Expired|UnrecognizedClient|InvalidClientTokenId|SignatureDoesNotMatch|InvalidAccessKey|MissingAuth",
        CredentialsError,
    ),
    (r"AccessDenied|Forbidden|^403$|UnauthorizedOperation", AccessDeniedError),
    (r"InsufficientCapacity|InsufficientInstanceCapacity|^CapacityError", CapacityError),
    (r"LimitExceeded|QuotaExceeded", QuotaError),
    (r"NotFound|^NoSuch|^404$", ResourceNotFoundError),
    (r"ResourceInUse|Conflict|BucketAlready|PreconditionFailed|^409$|^412$", ResourceInUseError),
    (r"Throttl|TooManyRequests|SlowDown|RequestLimit", ThrottledError),
    (r"InternalFailure|InternalError|ServiceUnavailable|RequestTimeout|^5\d\d$", ServiceUnavailableError),
)
_MESSAGES: tuple[tuple[str, type[AWSError]], ...] = (
    (r"could not find|not found|does not exist", ResourceNotFoundError),
    (r"already exist", ResourceInUseError),
)
_NEXT = {
    CredentialsError: "Refresh your credentials, then attach to what runs by its name.",
    AccessDeniedError: "The identity lacks this permission.",
    QuotaError: "Ask for a higher limit in Service Quotas, or choose another instance type.",
    CapacityError: "Ask again later, or allow other types: `--alternative`, Compute(instance_types=…).",
}

_UNREACHABLE = (
    RetriesExceededError,
    botocore_errors.HTTPClientError,
    botocore_errors.ConnectionError,
    botocore_errors.IncompleteReadError,
)

NOT_OFFERED = frozenset({"UnsupportedOperation", "NotImplemented"})
"""What the local AWS answers to an operation, or a part of one, that it has not; the second is S3's."""

NO_CREDENTIALS = (
    "No AWS credentials found. Either configure them (`aws configure`, a role, or AWS_PROFILE), "
    'or run on this machine: `--target local`, IFT_TARGET=local, or ift.connect("local").'
)


def classify(code: str, message: str, status: int = 400) -> type[AWSError]:
    """Error class for a service answer. RequestLimitExceeded is throttling, not a quota."""
    if re.search(r"RequestLimit", code):
        return ThrottledError
    for pattern, kind in _CODES:
        if re.search(pattern, code):
            return kind
    for pattern, kind in _MESSAGES:
        if re.search(pattern, message, re.IGNORECASE):
            return kind
    return ServiceUnavailableError if status >= 500 else RequestRejectedError


def _from_answer(operation: str, error: botocore_errors.ClientError) -> IFTError:
    answer = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    message = str(answer.get("Error", {}).get("Message", ""))
    if code in NOT_OFFERED:
        return UnsupportedError(f"{operation}: {message}", feature=operation)
    metadata = answer.get("ResponseMetadata", {})
    kind = classify(code, message, int(metadata.get("HTTPStatusCode", 400)))
    hint = _NEXT.get(kind)
    more: dict[str, Any] = {}
    if kind is QuotaError:
        limit = quota_of(message)
        more = {"limit": limit.name, "instance_type": limit.instance_type, "counts": limit.counts}
    elif kind is CapacityError:
        more = {"instance_type": instance_type_of(message)}
    return kind(
        f"{operation}: {message or code} ({code})" + (f" {hint}" if hint else ""),
        operation=operation,
        code=code,
        request_id=str(metadata.get("RequestId", "")),
        **more,
    )


def absent(noun: str, name: str, listing: str, error: ResourceNotFoundError) -> ResourceNotFoundError:
    """The error with the name that was asked for, which AWS leaves out, and where to look."""
    return ResourceNotFoundError(
        f"there is no {noun} {name!r} in this account and region; `{listing}` shows what there is ({error})",
        operation=error.operation,
        code=error.code,
        request_id=error.request_id,
    )


def goes_on(what: str, attach: str, error: CredentialsError) -> CredentialsError:
    """The error of a wait whose credentials ended, with what goes on without it and how to return to that."""
    return CredentialsError(
        f"{error} {what} goes on; with fresh credentials return to it: {attach}",
        operation=error.operation,
        code=error.code,
        request_id=error.request_id,
    )


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Raises our error, with botocore's as its cause, for whatever AWS or the way to it answers."""
    try:
        yield
    except botocore_errors.ClientError as error:
        raise _from_answer(operation, error) from error
    except (
        botocore_errors.NoCredentialsError,
        botocore_errors.PartialCredentialsError,
        botocore_errors.CredentialRetrievalError,
        botocore_errors.TokenRetrievalError,
        botocore_errors.ProfileNotFound,
    ) as error:
        raise CredentialsError(f"{operation}: {error} {NO_CREDENTIALS}", operation=operation) from error
    except _UNREACHABLE as error:
        raise ServiceUnavailableError(
            f"{operation}: AWS cannot be reached: {error}", operation=operation
        ) from error
    except (botocore_errors.BotoCoreError, Boto3Error) as error:
        raise RequestRejectedError(f"{operation}: {error}", operation=operation) from error
