"""Messages of application/vnd.amazon.eventstream: prelude, headers, payload, each guarded by a CRC-32.

Format: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_PRELUDE = struct.Struct(">II")
_NUMBER = struct.Struct(">I")
_TEXT = 7


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message. Header names have up to 255 bytes, values up to 32,767."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    # total length: prelude and its CRC (12), headers, payload, CRC of the message (4)
    prelude = _PRELUDE.pack(16 + len(block) + len(payload), len(block))
    guarded = prelude + _NUMBER.pack(zlib.crc32(prelude)) + block + payload
    return guarded + _NUMBER.pack(zlib.crc32(guarded))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return bytes([len(key)]) + key + bytes([_TEXT]) + struct.pack(">H", len(text)) + text


def event(kind: str, payload: bytes, content_type: str = "application/octet-stream") -> bytes:
    """One event, for example a PayloadPart."""
    headers = {":message-type": "event", ":event-type": kind, ":content-type": content_type}
    return message(headers, payload)


def exception(kind: str, members: Mapping[str, str]) -> bytes:
    """A modelled error in the middle of a stream, which is its last message."""
    headers = {
        ":message-type": "exception",
        ":exception-type": kind,
        ":content-type": "application/json",
    }
    return message(headers, json.dumps(dict(members)).encode())
