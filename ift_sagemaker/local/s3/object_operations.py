"""S3's operations on single objects, and DeleteObjects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_tags
from email.utils import parsedate_to_datetime
from typing import BinaryIO
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.protocol.request import read_into
from ift_sagemaker.local.s3 import digests
from ift_sagemaker.local.s3.call import (
    S3Call,
    element,
    http_time,
    iso_time,
    malformed_xml,
    number,
    root,
    texts,
    unquoted,
    whole_number,
)
from ift_sagemaker.local.s3.files import CHUNK
from ift_sagemaker.local.s3.grid import MAX_LISTED, MAX_PARTS
from ift_sagemaker.local.s3.layouts import ObjectPart
from ift_sagemaker.local.s3.payload import Payload, require_checksum, stored_length
from ift_sagemaker.local.s3.records import (
    Attributes,
    NewObject,
    StoredObject,
    no_such_key,
    precondition_failed,
)
from ift_sagemaker.local.s3.tagging import tags_of_header

MAX_OBJECT_BYTES = 5 << 30  # of one PutObject or CopyObject; more goes in parts
MAX_DELETES = 1000
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
_OVERRIDES = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)


@dataclass(frozen=True)
class Span:
    """The bytes that are read: `length` of them from `first` on, and what is said of them.

    `parts` is how many the object has, where one of them is asked for; `checksums` are those of the span.
    """

    first: int
    length: int
    status: int = 200
    checksums: Mapping[str, str] = field(default_factory=dict)
    parts: int = 0


def put_object(call: S3Call) -> HTTPAnswer:
    payload = Payload(call.request)
    if (stored_length(call.headers, call.request.length) or 0) > MAX_OBJECT_BYTES:
        raise too_large()
    attributes = call.attributes(tags_of_header(call.headers))
    condition = call.write_condition()
    call.objects.require(call.bucket, call.key)
    with call.objects.files.writing():
        staged = call.objects.files.stage(payload, payload.wanted, payload.verify)
        checksums = payload.checksums(staged.digests)
        new = NewObject(staged, call.bucket, call.key, attributes, staged.md5, checksums)
        stored = call.objects.commit(new, condition)
    encryption = encryption_headers(stored.attributes)
    return call.ok(headers={"ETag": f'"{stored.etag}"', **checksum_headers(stored.checksums), **encryption})


def encryption_headers(attributes: Attributes) -> dict[str, str]:
    """How the object is encrypted, as every answer about a write says it; nothing where nobody asked."""
    return {
        name: value
        for name, value in attributes.headers.items()
        if name.startswith("x-amz-server-side-encryption")
    }


def too_large() -> ServiceError:
    return ServiceError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", 400)


def get_object(call: S3Call) -> HTTPAnswer:
    stored, file = call.objects.open(call.bucket, call.key)
    try:
        answer = _unmodified(call, stored)
        if answer is not None:
            file.close()
            return answer
        span = _span(call, stored)
        file.seek(span.first)
    except BaseException:
        file.close()
        raise
    headers = {**call.ok().headers, **_object_headers(call, stored, span)}
    return HTTPAnswer(span.status, headers, FileBody(file, span.length))


def head_object(call: S3Call) -> HTTPAnswer:
    stored = call.stored()
    answer = _unmodified(call, stored)
    if answer is not None:
        return answer
    span = _span(call, stored)
    return call.ok(headers=_object_headers(call, stored, span), status=span.status)


def get_object_attributes(call: S3Call) -> HTTPAnswer:
    stored = call.stored()
    asked = {name.strip() for name in call.headers["x-amz-object-attributes"].split(",")}
    if not asked <= set(_ATTRIBUTES):
        raise ServiceError("InvalidArgument", "Invalid attribute name specified.", 400)
    # of the parts' checksums, not with the number of parts: that stands in ObjectParts
    checksums = {name: value.partition("-")[0] for name, value in stored.checksums.items()}
    kind = {"ChecksumType": checksum_type(stored.checksums)} if checksums else {}
    members = {
        "ETag": texts({"ETag": stored.etag}),
        "Checksum": element("Checksum", texts(checksum_members(checksums) | kind)) if checksums else "",
        "ObjectParts": _object_parts(call, call.objects.layout(stored)) if "ObjectParts" in asked else "",
        "StorageClass": texts({"StorageClass": "STANDARD"}),
        "ObjectSize": texts({"ObjectSize": stored.size}),
    }
    shown = (text for name, text in members.items() if name in asked)
    headers = {"Last-Modified": http_time(stored.last_modified)}
    return call.ok(root("GetObjectAttributesResponse", *shown), headers)


def _object_parts(call: S3Call, layout: Sequence[ObjectPart]) -> str:
    if not layout:
        return ""
    limit = whole_number(call.headers, "x-amz-max-parts", MAX_LISTED, MAX_LISTED)
    after = whole_number(call.headers, "x-amz-part-number-marker", 0, MAX_PARTS)
    following = [part for part in layout if part.number > after]
    shown = following[:limit]
    head = {
        "PartsCount": len(layout),
        "PartNumberMarker": after,
        "NextPartNumberMarker": shown[-1].number if shown else after,
        "MaxParts": limit,
        "IsTruncated": len(following) > len(shown),
    }
    return element("ObjectParts", texts(head), *(_part(part) for part in shown if part.checksums))


def _part(part: ObjectPart) -> str:
    members: dict[str, object] = {"PartNumber": part.number, "Size": part.size}
    checksums = {f"Checksum{name.upper()}": value for name, value in part.checksums.items()}
    return element("Part", texts(members | checksums))


def delete_object(call: S3Call) -> HTTPAnswer:
    if "if-match" in call.headers:
        raise ServiceError("NotImplemented", "If-Match on DeleteObject is not offered by the local AWS", 501)
    call.objects.delete(call.bucket, call.key)
    return call.ok(status=204)


def delete_objects(call: S3Call) -> HTTPAnswer:
    require_checksum(call.headers)
    document = call.document()
    keys = [_deleted_key(item) for item in document.findall("Object")]
    if not keys or len(keys) > MAX_DELETES:
        raise malformed_xml()
    call.objects.delete(call.bucket, *keys)
    quiet = document.findtext("Quiet") == "true"
    deleted = [] if quiet else [element("Deleted", texts({"Key": key})) for key in keys]
    return call.ok(root("DeleteResult", *deleted))


def _deleted_key(item: Element) -> str:
    further = {child.tag for child in item} - {"Key"}
    if item.findtext("VersionId") == "null":
        further.discard("VersionId")
    if further:
        what = f"DeleteObjects with {', '.join(sorted(further))}"
        raise ServiceError("NotImplemented", f"{what} is not offered by the local AWS", 501)
    key = item.findtext("Key")
    if not key:
        raise malformed_xml()
    return key


def copy_object(call: S3Call) -> HTTPAnswer:
    bucket, key = copy_source(call)
    replace = call.headers.get("x-amz-metadata-directive", "COPY") == "REPLACE"
    retag = call.headers.get("x-amz-tagging-directive", "COPY") == "REPLACE"
    if (bucket, key) == (call.bucket, call.key) and not replace:
        message = "This copy request is illegal because it is trying to copy an object to itself"
        raise ServiceError("InvalidRequest", message, 400)
    call.objects.require(call.bucket, call.key)
    algorithm = call.headers.get("x-amz-checksum-algorithm", "crc32").lower()
    files = call.objects.files
    with files.writing():
        source, staged = call.objects.use(bucket, key, lambda path: files.adopt(path, [algorithm]))
        tags = tags_of_header(call.headers) if retag else source.attributes.tags
        attributes = call.attributes(tags) if replace else with_tags(source.attributes, tags=tags)
        checksums = {algorithm: digests.encode(staged.digests[algorithm])}
        new = NewObject(staged, call.bucket, call.key, attributes, staged.md5, checksums)
        stored = call.objects.commit(new, call.write_condition())
    result = {"ETag": f'"{stored.etag}"', "LastModified": iso_time(stored.last_modified)}
    return call.ok(root("CopyObjectResult", texts(result | checksum_members(stored.checksums))))


def copy_source(call: S3Call) -> tuple[str, str]:
    """`(bucket, key)` of the source, which exists, is not too large and meets the conditions on it."""
    path, _, query = call.headers["x-amz-copy-source"].partition("?")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    if query not in ("", "versionId=null"):
        raise ServiceError("NotImplemented", "Object versions are not offered by the local AWS", 501)
    call.objects.bucket(bucket)
    source = call.objects.get(bucket, key)
    if source is None:
        raise no_such_key(key)
    if source.size > MAX_OBJECT_BYTES and "uploadId" not in call.query:
        message = "The specified copy source is larger than the maximum allowable size for a copy source"
        raise ServiceError("InvalidRequest", message, 400)
    found = _unmet(call.headers, source, "x-amz-copy-source-")
    if found is not None:
        raise precondition_failed(found[0])
    return bucket, key


def _unmet(headers: Mapping[str, str], stored: StoredObject, before: str = "") -> tuple[str, int] | None:
    """The first condition of a read that does not hold, and the status S3 answers; None where all hold."""
    etags = {
        name: headers[before + name] for name in ("if-match", "if-none-match") if before + name in headers
    }
    if "if-match" in etags:
        if not _names(etags["if-match"], stored.etag):
            return "If-Match", 412
    elif _is_later(stored, headers.get(f"{before}if-unmodified-since"), otherwise=False):
        return "If-Unmodified-Since", 412
    if "if-none-match" in etags:
        return ("If-None-Match", 304) if _names(etags["if-none-match"], stored.etag) else None
    if _is_later(stored, headers.get(f"{before}if-modified-since"), otherwise=True):
        return None
    return "If-Modified-Since", 304


def _names(condition: str, etag: str) -> bool:
    return condition.strip() == "*" or etag in [unquoted(part) for part in condition.split(",")]


def _is_later(stored: StoredObject, date: str | None, *, otherwise: bool) -> bool:
    """Whether the object was modified after an HTTP date; `otherwise` where that is absent or no date."""
    if date is None:
        return otherwise
    try:
        limit = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return otherwise
    return int(stored.last_modified) > limit


def _unmodified(call: S3Call, stored: StoredObject) -> HTTPAnswer | None:
    """The answer 304 where the reader has it already; raises 412 where another condition does not hold."""
    unmet = _unmet(call.headers, stored)
    if unmet is None:
        return None
    if unmet[1] == 412:
        raise precondition_failed(unmet[0])
    headers = {"ETag": f'"{stored.etag}"', "Last-Modified": http_time(stored.last_modified)}
    return call.ok(headers=headers, status=304)


def _span(call: S3Call, stored: StoredObject) -> Span:
    """What a read asks for; a range S3 cannot read is passed over."""
    size = stored.size
    asked = _RANGE.fullmatch(call.headers.get("range", "").strip())
    if "partNumber" in call.query:
        return _part_span(call, stored)
    if asked is None or asked.groups() == ("", ""):
        return Span(0, size)
    first, last = asked.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return Span(0, size)
    if start >= size:
        message = "The requested range is not satisfiable"
        raise ServiceError("InvalidRange", message, 416, {"ActualObjectSize": size})
    return Span(start, end - start, 206)


def _part_span(call: S3Call, stored: StoredObject) -> Span:
    if "range" in call.headers:
        message = "Cannot specify both Range header and partNumber query parameter"
        raise ServiceError("InvalidRequest", message, 400)
    wanted = number(call, "partNumber", 0, MAX_PARTS + 1)
    if not 1 <= wanted <= MAX_PARTS:
        message = f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
        raise ServiceError("InvalidArgument", message, 400)
    layout = call.objects.layout(stored)
    if not layout and wanted == 1:
        return Span(0, stored.size, 206 if stored.size else 200, stored.checksums)
    if wanted > len(layout):
        message = "The requested partnumber is not satisfiable"
        raise ServiceError("InvalidPartNumber", message, 416, {"ActualPartCount": len(layout) or 1})
    part = layout[wanted - 1]
    return Span(part.offset, part.size, 206, part.checksums, len(layout))


def _object_headers(call: S3Call, stored: StoredObject, span: Span) -> dict[str, str]:
    headers = {
        "Last-Modified": http_time(stored.last_modified),
        "ETag": f'"{stored.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": stored.content_type,
        "Content-Length": str(span.length),
        **{_title(name): value for name, value in stored.attributes.headers.items()},
        **{f"x-amz-meta-{name}": value for name, value in stored.metadata.items()},
    }
    if stored.attributes.tags:
        headers["x-amz-tagging-count"] = str(len(stored.attributes.tags))
    if span.parts:
        headers["x-amz-mp-parts-count"] = str(span.parts)
    if span.status == 206:
        headers["Content-Range"] = f"bytes {span.first}-{span.first + span.length - 1}/{stored.size}"
    if call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers |= checksum_headers(stored.checksums if span.status == 200 else span.checksums)
    overrides = {name: call.query.get(f"response-{name}") for name in _OVERRIDES}
    return headers | {_title(name): value for name, value in overrides.items() if value is not None}


def _title(name: str) -> str:
    return name if name.startswith("x-amz-") else name.title()


def checksum_headers(checksums: Mapping[str, str]) -> dict[str, str]:
    headers = {f"x-amz-checksum-{name}": value for name, value in checksums.items()}
    return headers | ({"x-amz-checksum-type": checksum_type(checksums)} if checksums else {})


def checksum_members(checksums: Mapping[str, str]) -> dict[str, str]:
    members = {f"Checksum{name.upper()}": value for name, value in checksums.items()}
    return members | ({"ChecksumType": checksum_type(checksums)} if checksums else {})


def checksum_type(checksums: Mapping[str, str]) -> str:
    return "COMPOSITE" if any("-" in value for value in checksums.values()) else "FULL_OBJECT"


class FileBody:
    """`length` bytes of an open file from where it stands; as an iterable (WSGI) and to be read."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._left = length

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left)) if self._left else b""
        self._left -= len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:
        got = read_into(self._file, buffer[: self._left]) if self._left else 0
        self._left -= got
        return got

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(CHUNK):
            yield data

    def close(self) -> None:
        self._file.close()


OPERATIONS: dict[str, Callable[[S3Call], HTTPAnswer]] = {
    "PutObject": put_object,
    "GetObject": get_object,
    "HeadObject": head_object,
    "GetObjectAttributes": get_object_attributes,
    "DeleteObject": delete_object,
    "DeleteObjects": delete_objects,
    "CopyObject": copy_object,
}
