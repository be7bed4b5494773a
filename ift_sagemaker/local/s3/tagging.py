"""Tags of objects: the rules for them, and S3's three operations.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import parse_qsl

from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.s3.call import S3Call, element, malformed_xml, root, texts

MAX_TAGS = 10
HEADER = "x-amz-tagging"
_ALLOWED = re.compile(r"[\w\s+\-=.:/@]*")


def tags_of_header(headers: Mapping[str, str]) -> dict[str, str]:
    """The tags in `x-amz-tagging`, a URL query; a ServiceError for what S3 does not take."""
    if not headers.get(HEADER):
        return {}
    try:
        pairs = parse_qsl(headers[HEADER], keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        pairs = [("", ""), ("", "")]
    if len(dict(pairs)) < len(pairs):
        message = (
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters"
            " without tag name duplicates."
        )
        raise ServiceError("InvalidArgument", message, 400, {"ArgumentName": HEADER})
    return _checked(pairs)


def get_object_tagging(call: S3Call) -> HTTPAnswer:
    tags = call.stored().attributes.tags
    listed = (element("Tag", texts({"Key": name, "Value": value})) for name, value in tags.items())
    return call.ok(root("Tagging", element("TagSet", *listed)))


def put_object_tagging(call: S3Call) -> HTTPAnswer:
    document = call.document()
    tag_set = document.find("TagSet")
    if document.tag != "Tagging" or tag_set is None:
        raise malformed_xml()
    pairs = [(tag.findtext("Key") or "", tag.findtext("Value") or "") for tag in tag_set]
    if len(dict(pairs)) < len(pairs):
        raise ServiceError("InvalidTag", "Cannot provide multiple Tags with the same key", 400)
    call.objects.retag(call.bucket, call.key, _checked(pairs))
    return call.ok()


def delete_object_tagging(call: S3Call) -> HTTPAnswer:
    call.objects.retag(call.bucket, call.key, {})
    return call.ok(status=204)


def _checked(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    tags = dict(pairs)
    if len(tags) > MAX_TAGS:
        raise ServiceError("BadRequest", f"Object tags cannot be greater than {MAX_TAGS}", 400)
    for name, value in tags.items():
        if not 1 <= len(name) <= 128 or not _ALLOWED.fullmatch(name):
            raise ServiceError("InvalidTag", "The TagKey you have provided is invalid", 400, {"TagKey": name})
        if len(value) > 256 or not _ALLOWED.fullmatch(value):
            message = "The TagValue you have provided is invalid"
            raise ServiceError("InvalidTag", message, 400, {"TagKey": name, "TagValue": value})
        if name.lower().startswith("aws:"):
            message = "System tags cannot be added/updated by requester"
            raise ServiceError("InvalidTag", message, 400, {"TagKey": name})
    return tags


OPERATIONS: dict[str, Callable[[S3Call], HTTPAnswer]] = {
    "GetObjectTagging": get_object_tagging,
    "PutObjectTagging": put_object_tagging,
    "DeleteObjectTagging": delete_object_tagging,
}
