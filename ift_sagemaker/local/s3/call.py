"""One S3 call: the request, where it points, and the collaborators of its handler."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from xml.etree.ElementTree import Element, ParseError, fromstring
from xml.sax.saxutils import escape

from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.protocol.request import Request, read_up_to
from ift_sagemaker.local.s3 import payload as s3_payload
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.s3.records import (
    DEFAULT_CONTENT_TYPE,
    Attributes,
    Precondition,
    StoredObject,
    no_such_key,
)
from ift_sagemaker.local.state.settings import Context

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_MAX_DOCUMENT = 8 << 20
_METADATA = "x-amz-meta-"
# S3 counts names and values together
MAX_METADATA_BYTES = 2048
# request headers that S3 stores with an object and sends back with it
_KEPT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
)


@dataclass(frozen=True)
class S3Call:
    """What a handler works with; `bucket` and `key` are empty where the address has none."""

    context: Context
    request: Request
    bucket: str
    key: str

    @property
    def objects(self) -> ObjectStore:
        return self.context.objects

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query

    @property
    def region(self) -> str:
        return self.request.scope[0] or self.context.settings.region

    def stored(self) -> StoredObject:
        """The object; a ServiceError NoSuchBucket or NoSuchKey where there is none."""
        self.objects.bucket(self.bucket)
        found = self.objects.get(self.bucket, self.key)
        if found is None:
            raise no_such_key(self.key)
        return found

    def attributes(self, tags: Mapping[str, str]) -> Attributes:
        """What the headers say about the object to be stored; a ServiceError for too much metadata."""
        metadata = {
            name.removeprefix(_METADATA): value
            for name, value in self.headers.items()
            if name.startswith(_METADATA)
        }
        if sum(len(name) + len(value.encode()) for name, value in metadata.items()) > MAX_METADATA_BYTES:
            message = "Your metadata headers exceed the maximum allowed metadata size"
            raise ServiceError("MetadataTooLarge", message, 400)
        kept = {name: self.headers[name] for name in _KEPT_HEADERS if name in self.headers}
        encoding = s3_payload.content_encoding(self.headers)
        if encoding:
            kept["content-encoding"] = encoding
        content_type = self.headers.get("content-type") or DEFAULT_CONTENT_TYPE
        return Attributes(content_type, metadata, kept, tags)

    def write_condition(self) -> Precondition:
        """The If-None-Match and If-Match of a write; S3 takes only `*` for the first."""
        if_none_match = self.headers.get("if-none-match")
        if if_none_match not in (None, "*"):
            message = "If-None-Match of a write takes only * in S3"
            raise ServiceError("NotImplemented", message, 501)
        if_match = self.headers.get("if-match")
        return Precondition(if_none_match == "*", unquoted(if_match) if if_match is not None else None)

    def document(self, *, verified: bool = True) -> Element:
        """The XML document in the body, its checksums verified; a ServiceError MalformedXML for another."""
        payload = s3_payload.Payload(self.request)
        body = read_up_to(payload, _MAX_DOCUMENT + 1)
        if verified:
            payload.verify_bytes(body)
        if len(body) > _MAX_DOCUMENT or b"<!" in body:
            raise malformed_xml()
        try:
            root = fromstring(body)  # noqa: S314 - a document type, and with it every entity, is refused above
        except ParseError:
            raise malformed_xml() from None
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    def ok(
        self, document: str = "", headers: Mapping[str, str] | None = None, status: int = 200
    ) -> HTTPAnswer:
        """An answer with S3's own headers and, where given, an XML document."""
        own = {"x-amz-request-id": self.request.id, "x-amz-id-2": "local", "Server": "AmazonS3"}
        body = b""
        if document:
            own["Content-Type"] = "application/xml"
            body = f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode()
        return HTTPAnswer(status, {**own, **(headers or {})}, body)


def element(name: str, *inner: str) -> str:
    """An XML element with text or elements that are XML already."""
    return f"<{name}>{''.join(inner)}</{name}>"


def texts(members: Mapping[str, object]) -> str:
    """Elements with escaped text, those of None left out."""
    return "".join(
        element(name, escape(_shown(value))) for name, value in members.items() if value is not None
    )


def root(name: str, *inner: str) -> str:
    """A document's root element, in S3's namespace."""
    return f'<{name} xmlns="{_NAMESPACE}">{"".join(inner)}</{name}>'


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def iso_time(seconds: float) -> str:
    """ISO 8601 with milliseconds, as S3's XML has it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{int(seconds % 1 * 1000):03d}Z"


def http_time(seconds: float) -> str:
    return formatdate(int(seconds), usegmt=True)


def unquoted(etag: str) -> str:
    return re.sub(r'^(?:W/)?"|"$', "", etag.strip())


def number(call: S3Call, name: str, default: int, maximum: int) -> int:
    """A whole number from the query, cut to `maximum`; a ServiceError where it is not one."""
    return whole_number(call.query, name, default, maximum)


def whole_number(texts: Mapping[str, str], name: str, default: int, maximum: int) -> int:
    """A whole number from a query or from headers, cut to `maximum`; a ServiceError where it is not one."""
    text = texts.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise ServiceError("InvalidArgument", f"Provided {name} not an integer or within integer range", 400)
    return min(int(text), maximum)


def malformed_xml() -> ServiceError:
    message = "The XML you provided was not well-formed or did not validate against our published schema"
    return ServiceError("MalformedXML", message, 400)
