"""One page of a listing: keys in order, rolled up at a delimiter. Pure; the keys come from `scan`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.s3.objects import successor
from ift_sagemaker.local.s3.records import StoredObject

MAX_KEYS = 1000

# (prefix, first key in UTF-8, limit) -> objects in key order
Scan = Callable[[str, bytes, int], Sequence[StoredObject]]


@dataclass(frozen=True)
class Page:
    """`next_start` is where the next page begins (UTF-8, included); None on the last page."""

    contents: tuple[StoredObject, ...]
    prefixes: tuple[str, ...]
    next_start: bytes | None


def list_page(scan: Scan, prefix: str, delimiter: str, start: bytes, max_keys: int) -> Page:
    """Up to `max_keys` keys and common prefixes, together, from `start` on.

    A common prefix is passed in one step, however many keys it holds.
    """
    contents: list[StoredObject] = []
    prefixes: list[str] = []
    while max_keys:
        batch = scan(prefix, start, max_keys + 1)
        for found in batch:
            key = found.key.encode()
            if key < start:
                continue  # inside a common prefix that is already listed
            if len(contents) + len(prefixes) == max_keys:
                return Page(tuple(contents), tuple(prefixes), start)
            group = common_prefix(found.key, prefix, delimiter)
            if group is None:
                contents.append(found)
            else:
                prefixes.append(group)
            start = after_key(found.key) if group is None else successor(group.encode())
        if len(batch) <= max_keys:
            break
    return Page(tuple(contents), tuple(prefixes), None)


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """`key` up to and with the first delimiter after `prefix`; None where there is none."""
    if not delimiter:
        return None
    end = key.find(delimiter, len(prefix))
    return None if end < 0 else key[: end + len(delimiter)]


def after_key(key: str) -> bytes:
    """Where the keys after `key` begin."""
    return key.encode() + b"\0" if key else b""


def after_marker(marker: str, prefix: str, delimiter: str) -> bytes:
    """Where a listing goes on after ListObjects' marker, which may be a common prefix it has listed."""
    group = common_prefix(marker, prefix, delimiter) if marker.startswith(prefix) else None
    return after_key(marker) if group != marker or not group else successor(group.encode())


def token(start: bytes) -> str:
    """The continuation token of a page that begins at `start`."""
    return base64.urlsafe_b64encode(b"1" + start).decode("ascii")


def start_of(continuation: str) -> bytes:
    """Where the page of a continuation token begins; a ServiceError for a token that is none."""
    try:
        decoded = base64.b64decode(continuation.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if decoded[:1] != b"1":
        raise ServiceError("InvalidArgument", "The continuation token provided is incorrect", 400)
    return decoded[1:]
