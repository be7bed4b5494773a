"""What travels with a data set: where its files lie, in which parts they are sent, what is known of them.

Keys are named by content, so that what is there is never sent again. The manifest lies beside the folder of
the data, not in it: a channel is a prefix, and all that lies under it comes to the training program. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ift_sagemaker import __version__
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.wire.template import PromptTemplate

DATA_PREFIX = "ift/data"
PART_BYTES = 8 << 20
MIN_PART_BYTES = 5 << 20
MAX_PARTS = 10_000
MAX_OBJECT_BYTES = 5 << 40
MAX_KEY_BYTES = 1024
"""S3's limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""
_STEP = 1 << 20
_SCHEMA = "ift-data-manifest/1"


@dataclass(frozen=True)
class Part:
    """A piece of a file: `number` from 1, `offset` and `size` in bytes, `sha256` as 32 bytes."""

    number: int
    offset: int
    size: int
    sha256: bytes


@dataclass(frozen=True)
class ManifestFile:
    """One file: its name below the data's prefix, its size in bytes, its SHA-256 in hex."""

    name: str
    size: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "bytes": self.size, "sha256": self.sha256}


@dataclass(frozen=True)
class Manifest:
    """What is known of a data set; None for what is not.

    `fingerprint`: SHA-256 over names, lengths and bytes of all files. `characters`: of the files as text.
    `tokens`: of a tokenizer the caller names. `report`: figures of its check.
    """

    fingerprint: str
    files: tuple[ManifestFile, ...]
    rows: int | None = None
    characters: int | None = None
    tokens: int | None = None
    format: str | None = None
    template: PromptTemplate | None = None
    report: Mapping[str, Any] | None = None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": _SCHEMA,
            "made_by": f"ift-sagemaker {__version__}",
            "fingerprint": self.fingerprint,
            "rows": self.rows,
            "characters": self.characters,
            "tokens": self.tokens,
            "format": self.format,
            "template": _template(self.template),
            "files": [file.to_dict() for file in self.files],
            "report": None if self.report is None else dict(self.report),
        }

    def to_bytes(self) -> bytes:
        """The manifest as JSON; equal manifests are equal bytes."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    def data_prefix(self, prefix: str = DATA_PREFIX) -> str:
        """Where the files lie, with its last slash: what a channel's S3Uri names."""
        return f"{prefix}/{self.fingerprint}/"

    def key(self, prefix: str = DATA_PREFIX) -> str:
        """Where the manifest lies; its own SHA-256 is in the name, so what points to it says what it held."""
        digest = hashlib.sha256(self.to_bytes()).hexdigest()
        return f"{prefix}/{self.fingerprint}.{digest}.manifest.json"


@dataclass(frozen=True)
class UploadedData:
    """A data set in S3. `uri` ends in a slash, so it can be a channel as it is.

    `sent`, `present` and `resumed` are bytes: sent now, there already, sent by an earlier run that was ended.
    """

    uri: str
    manifest_uri: str
    manifest: Manifest
    sent: int = 0
    present: int = 0
    resumed: int = 0
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "uri": self.uri,
            "manifest_uri": self.manifest_uri,
            "bytes_sent": self.sent,
            "bytes_present": self.present,
            "bytes_resumed": self.resumed,
            "remarks": list(self.remarks),
            "manifest": self.manifest.to_dict(),
        }


def _template(template: PromptTemplate | None) -> dict[str, str] | None:
    if template is None:
        return None
    return {
        "fingerprint": template.fingerprint,
        "prompt": template.prompt,
        "completion": template.completion,
    }


def part_bytes(size: int, least: int = PART_BYTES) -> int:
    """Bytes of each part but the last: `least`, or whole MiB enough for 10,000 parts to hold the file.

    Raises ConfigError for parts that S3 refuses as too small, and for more than 5 TiB.
    """
    if least < MIN_PART_BYTES:
        raise ConfigError(
            f"parts of {least} bytes are smaller than S3 takes",
            field="part_bytes",
            value=least,
            allowed=f"{MIN_PART_BYTES} and more",
        )
    if size > MAX_OBJECT_BYTES:
        raise ConfigError(
            f"a file of {size} bytes is larger than the 5 TiB that are sent as one object: split it",
            field="source",
            value=size,
            allowed=f"up to {MAX_OBJECT_BYTES} bytes",
        )
    needed = -(-size // MAX_PARTS)
    return max(least, -(-needed // _STEP) * _STEP)


def composite(parts: Iterable[Part]) -> bytes:
    """SHA-256 of the parts' digests, which S3 keeps of an object that came in parts."""
    return hashlib.sha256(b"".join(part.sha256 for part in parts)).digest()


def require_key(key: str) -> None:
    """Raises ConfigError for a key that S3 refuses, or that would not come back as it was."""
    if len(key.encode(errors="replace")) > MAX_KEY_BYTES:
        problem = f"is longer than {MAX_KEY_BYTES} bytes"
    elif not key.isprintable():
        problem = "has a character that cannot be printed"
    elif "//" in key or {".", ".."} & set(key.split("/")):
        problem = "has an empty, '.' or '..' part"
    else:
        return
    raise ConfigError(
        f"{key!r} cannot be a key in S3: it {problem}; rename the file or choose another prefix",
        field="key",
        value=key,
        allowed=f"printable text of at most {MAX_KEY_BYTES} bytes",
    )
