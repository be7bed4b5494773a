"""S3: a request taken apart (bucket, key, operation), checked, and handed to its handler."""

from __future__ import annotations

import re
from collections.abc import Callable

from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.protocol.request import Request
from ift_sagemaker.local.s3 import bucket_operations as s3_buckets
from ift_sagemaker.local.s3 import lifecycle as s3_lifecycle
from ift_sagemaker.local.s3 import multipart_operations as s3_multipart
from ift_sagemaker.local.s3 import object_operations as s3_objects
from ift_sagemaker.local.s3 import tagging as s3_tagging
from ift_sagemaker.local.s3.call import S3Call
from ift_sagemaker.local.s3.presigned import check_expiry
from ift_sagemaker.local.s3.routing import operation_name
from ift_sagemaker.local.state.settings import Context

Handler = Callable[[S3Call], HTTPAnswer]

OPERATIONS: dict[str, Handler] = {
    **s3_buckets.OPERATIONS,
    **s3_lifecycle.OPERATIONS,
    **s3_objects.OPERATIONS,
    **s3_multipart.OPERATIONS,
    **s3_tagging.OPERATIONS,
}
_HOST = re.compile(
    r"(?:(?P<bucket>.+)\.)?s3(?:[.-](?:dualstack\.|fips\.)?(?P<region>[a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?(?::\d+)?"
)
# headers that would change what is stored or who may read it, which the local S3 does not do
_REFUSED_HEADERS = (
    "x-amz-website-redirect-location",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-copy-source-server-side-encryption-customer-algorithm",
    "x-amz-write-offset-bytes",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-mfa",
)
_PRIVATE_ACLS = ("private", "bucket-owner-full-control", "bucket-owner-read")


def is_host(host: str) -> bool:
    """Whether a host name is one of S3's, with or without a bucket before it."""
    return _HOST.fullmatch(host) is not None


def answer(context: Context, request: Request) -> HTTPAnswer:
    """S3's answer.

    Raises:
        ServiceError: (501 NotImplemented) an operation or header that the local S3 does not have, and every
            other refusal of S3.
    """
    bucket, key = address(request.host, request.path)
    operation = operation_name(request, bool(bucket), bool(key))
    handler = OPERATIONS.get(operation)
    if handler is None:
        raise _not_implemented(operation)
    check_expiry(request.query, context.clock())
    _check_owner(context, request)
    _check_headers(request, operation)
    return handler(S3Call(context, request, bucket, key))


def address(host: str, path: str) -> tuple[str, str]:
    """`(bucket, key)` of a virtual-hosted or path-style address; empty where there is none."""
    found = _HOST.fullmatch(host)
    if found and found["bucket"]:
        return found["bucket"], path[1:]
    bucket, _, key = path[1:].partition("/")
    return bucket, key


def _check_owner(context: Context, request: Request) -> None:
    for header in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
        if request.headers.get(header, context.settings.account) != context.settings.account:
            raise ServiceError("AccessDenied", "Access Denied", 403)


def _check_headers(request: Request, operation: str) -> None:
    found = [name for name in _REFUSED_HEADERS if name in request.headers]
    if request.headers.get("x-amz-acl", "private") not in _PRIVATE_ACLS:
        found.append("x-amz-acl")
    if request.headers.get("x-amz-storage-class", "STANDARD") != "STANDARD":
        found.append("x-amz-storage-class")
    if request.query.get("versionId", "null") != "null":
        found.append("versionId")
    if found:
        raise _not_implemented(f"{operation} with {', '.join(found)}")


def _not_implemented(what: str) -> ServiceError:
    return ServiceError("NotImplemented", f"{what} is not offered by the local AWS of ift_sagemaker", 501)
