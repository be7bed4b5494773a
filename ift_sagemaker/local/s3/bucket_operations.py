"""S3's operations on buckets and their listings."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.s3 import listing as s3_listing
from ift_sagemaker.local.s3.call import S3Call, element, iso_time, number, root, texts
from ift_sagemaker.local.s3.listing import MAX_KEYS, Page
from ift_sagemaker.local.s3.records import StoredObject

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_FORBIDDEN_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_FORBIDDEN_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_CLASSIC_REGION = "us-east-1"
_MAX_BUCKETS = 10_000
AWS_OWNED = "jumpstart-cache-prod-"
"""How the names of JumpStart's buckets begin, which are read by everybody and listed by nobody."""


def create_bucket(call: S3Call) -> HTTPAnswer:
    if not _is_valid_name(call.bucket):
        raise ServiceError("InvalidBucketName", "The specified bucket is not valid.", 400)
    location = _location(call)
    if not call.objects.create_bucket(call.bucket, location) and location != _CLASSIC_REGION:
        message = "Your previous request to create the named bucket succeeded and you already own it."
        raise ServiceError("BucketAlreadyOwnedByYou", message, 409)
    return call.ok(headers={"Location": f"/{call.bucket}"})


def _is_valid_name(name: str) -> bool:
    return bool(
        _NAME.fullmatch(name)
        and ".." not in name
        and not _ADDRESS.fullmatch(name)
        and not name.startswith(_FORBIDDEN_STARTS)
        and not name.endswith(_FORBIDDEN_ENDS)
    )


def _location(call: S3Call) -> str:
    """The region of the new bucket, under the rules that AWS has for naming it."""
    asked = ""
    if call.request.length or call.headers.get("transfer-encoding"):
        asked = call.document().findtext("LocationConstraint") or ""
    if asked == _CLASSIC_REGION:
        raise ServiceError("InvalidLocationConstraint", "The specified location-constraint is not valid", 400)
    # us-east-1, once the only region, makes buckets for every other one
    if call.region not in (_CLASSIC_REGION, asked):
        raise _illegal_location(asked or "unspecified")
    return asked or _CLASSIC_REGION


def _illegal_location(location: str) -> ServiceError:
    message = (
        f"The {location} location constraint is incompatible for the region specific endpoint this request"
        " was sent to."
    )
    return ServiceError("IllegalLocationConstraintException", message, 400)


def delete_bucket(call: S3Call) -> HTTPAnswer:
    call.objects.delete_bucket(call.bucket)
    return call.ok(status=204)


def head_bucket(call: S3Call) -> HTTPAnswer:
    return call.ok(headers={"x-amz-bucket-region": call.objects.bucket(call.bucket).location})


def get_bucket_location(call: S3Call) -> HTTPAnswer:
    location = call.objects.bucket(call.bucket).location
    return call.ok(root("LocationConstraint", "" if location == _CLASSIC_REGION else location))


def get_bucket_versioning(call: S3Call) -> HTTPAnswer:
    call.objects.bucket(call.bucket)
    return call.ok(root("VersioningConfiguration"))


def list_buckets(call: S3Call) -> HTTPAnswer:
    prefix, region = call.query.get("prefix", ""), call.query.get("bucket-region")
    continuation = call.query.get("continuation-token", "")
    after = s3_listing.start_of(continuation).decode() if continuation else ""
    limit = number(call, "max-buckets", _MAX_BUCKETS, _MAX_BUCKETS)
    found = [
        bucket
        for bucket in call.objects.buckets()
        if bucket.name.startswith(prefix)
        and not bucket.name.startswith(AWS_OWNED)
        and bucket.name > after
        and region in (None, bucket.location)
    ]
    shown = found[: max(1, limit)]
    rows = (
        {"Name": bucket.name, "CreationDate": iso_time(bucket.created), "BucketRegion": bucket.location}
        for bucket in shown
    )
    listed = element("Buckets", *(element("Bucket", texts(row)) for row in rows))
    more = s3_listing.token(shown[-1].name.encode()) if len(found) > len(shown) else None
    owner = element("Owner", texts({"ID": call.context.settings.account, "DisplayName": "local"}))
    tail = texts({"ContinuationToken": more, "Prefix": prefix or None})
    return call.ok(root("ListAllMyBucketsResult", owner, listed, tail))


def list_objects_v2(call: S3Call) -> HTTPAnswer:
    continuation = call.query.get("continuation-token")
    start_after = call.query.get("start-after", "")
    start = s3_listing.after_key(start_after) if continuation is None else s3_listing.start_of(continuation)
    page, max_keys = _page(call, start)
    encode = encoding(call)
    head = {
        "Name": call.bucket,
        "Prefix": encode(call.query.get("prefix", "")),
        "Delimiter": encode(call.query["delimiter"]) if call.query.get("delimiter") else None,
        "StartAfter": encode(start_after) if start_after else None,
        "ContinuationToken": continuation,
        "NextContinuationToken": None if page.next_start is None else s3_listing.token(page.next_start),
        "KeyCount": len(page.contents) + len(page.prefixes),
        "MaxKeys": max_keys,
        "EncodingType": call.query.get("encoding-type"),
        "IsTruncated": page.next_start is not None,
    }
    with_owner = call.query.get("fetch-owner") == "true"
    return call.ok(root("ListBucketResult", texts(head), *_entries(call, page, encode, with_owner)))


def list_objects(call: S3Call) -> HTTPAnswer:
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    marker = call.query.get("marker", "")
    page, max_keys = _page(call, s3_listing.after_marker(marker, prefix, delimiter))
    encode = encoding(call)
    last = max([found.key for found in page.contents] + list(page.prefixes), default="", key=str.encode)
    head = {
        "Name": call.bucket,
        "Prefix": encode(prefix),
        "Marker": encode(marker),
        "Delimiter": encode(delimiter) if delimiter else None,
        "NextMarker": encode(last) if page.next_start is not None and delimiter else None,
        "MaxKeys": max_keys,
        "EncodingType": call.query.get("encoding-type"),
        "IsTruncated": page.next_start is not None,
    }
    return call.ok(root("ListBucketResult", texts(head), *_entries(call, page, encode, with_owner=True)))


def _page(call: S3Call, start: bytes) -> tuple[Page, int]:
    call.objects.bucket(call.bucket)
    max_keys = number(call, "max-keys", MAX_KEYS, MAX_KEYS)

    def scan(prefix: str, first: bytes, limit: int) -> list[StoredObject]:
        return list(call.objects.scan(call.bucket, prefix, first, limit))

    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    return s3_listing.list_page(scan, prefix, delimiter, start, max_keys), max_keys


def encoding(call: S3Call) -> Callable[[str], str]:
    """How keys are printed: URL-encoded where asked, which alone carries every character through XML."""
    asked = call.query.get("encoding-type", "")
    if asked not in ("", "url"):
        raise ServiceError("InvalidArgument", "Invalid Encoding Method specified in Request", 400)
    return quote if asked else str


def _entries(call: S3Call, page: Page, encode: Callable[[str], str], with_owner: bool) -> list[str]:  # noqa: FBT001 - private
    owner = element("Owner", texts({"ID": call.context.settings.account})) if with_owner else ""
    contents = [element("Contents", texts(_row(found, encode)), owner) for found in page.contents]
    groups = [
        element("CommonPrefixes", texts({"Prefix": encode(common_prefix)})) for common_prefix in page.prefixes
    ]
    return contents + groups


def _row(found: StoredObject, encode: Callable[[str], str]) -> dict[str, object]:
    return {
        "Key": encode(found.key),
        "LastModified": iso_time(found.last_modified),
        "ETag": f'"{found.etag}"',
        "Size": found.size,
        "StorageClass": "STANDARD",
    }


OPERATIONS = {
    "CreateBucket": create_bucket,
    "DeleteBucket": delete_bucket,
    "HeadBucket": head_bucket,
    "GetBucketLocation": get_bucket_location,
    "GetBucketVersioning": get_bucket_versioning,
    "ListBuckets": list_buckets,
    "ListObjects": list_objects,
    "ListObjectsV2": list_objects_v2,
}
