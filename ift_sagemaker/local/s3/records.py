"""What is known of buckets and objects, as plain records, and S3's refusals about them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.s3.files import Staged

DEFAULT_CONTENT_TYPE = "binary/octet-stream"

Row = tuple[str, bytes, str, int, str, float, str, str]


@dataclass(frozen=True)
class Attributes:
    """What a caller says about an object: `headers` are stored HTTP headers such as Cache-Control."""

    content_type: str = DEFAULT_CONTENT_TYPE
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def dump(self) -> str:
        return json.dumps([self.content_type, dict(self.metadata), dict(self.headers), dict(self.tags)])

    @classmethod
    def load(cls, text: str) -> Attributes:
        return cls(*json.loads(text))


@dataclass(frozen=True)
class StoredObject:
    """One object. `path` is its file: read it or link it, never write it. `last_modified` in epoch seconds.

    `checksums` maps an algorithm (`crc32`) to the Base64 text that S3 answers, `…-N` for a composite one.
    """

    bucket: str
    key: str
    path: Path
    size: int
    etag: str
    last_modified: float
    attributes: Attributes
    checksums: Mapping[str, str]

    @property
    def content_type(self) -> str:
        return self.attributes.content_type

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.attributes.metadata


@dataclass(frozen=True)
class Bucket:
    """One bucket; `created` in epoch seconds, `location` its region."""

    name: str
    created: float
    location: str


@dataclass(frozen=True)
class Precondition:
    """What must hold of the object that is there when a write commits; ETags without quotes."""

    if_absent: bool = False
    if_match: str | None = None

    def check(self, etag: str | None) -> None:
        """Raises the ServiceError that S3 sends where the condition does not hold; `etag` None: no object."""
        if self.if_match is not None and etag is None:
            raise no_such_key("")
        if self.if_absent and etag is not None:
            raise precondition_failed("If-None-Match")
        if self.if_match not in (None, "*", etag):
            raise precondition_failed("If-Match")


NOTHING_TO_CHECK = Precondition()


@dataclass(frozen=True)
class NewObject:
    """An object about to be named: the staged file and all that its row says."""

    staged: Staged
    bucket: str
    key: str
    attributes: Attributes
    etag: str
    checksums: Mapping[str, str]

    def row(self, modified: float) -> Row:
        staged, checksums = self.staged, json.dumps(dict(self.checksums))
        where = (self.bucket, self.key.encode(), staged.file, staged.size)
        return (*where, self.etag, modified, self.attributes.dump(), checksums)


def no_such_bucket(name: str) -> ServiceError:
    return ServiceError("NoSuchBucket", "The specified bucket does not exist", 404, {"BucketName": name})


def no_such_key(key: str) -> ServiceError:
    return ServiceError("NoSuchKey", "The specified key does not exist.", 404, {"Key": key})


def precondition_failed(condition: str) -> ServiceError:
    """S3's refusal; `condition` is the header that did not hold."""
    message = "At least one of the pre-conditions you specified did not hold"
    return ServiceError("PreconditionFailed", message, 412, {"Condition": condition})
