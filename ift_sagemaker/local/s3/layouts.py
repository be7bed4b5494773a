"""The parts an object was made of: what reading by part number and GetObjectAttributes need."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection

from ift_sagemaker.local.s3.grid import Part


@dataclass(frozen=True)
class ObjectPart:
    """One part of a completed object, counted from 1 whatever number it had; `offset` and `size` in bytes."""

    number: int
    offset: int
    size: int
    checksums: Mapping[str, str]


def keep_layout(connection: Connection, file: str, parts: Sequence[Part], algorithm: str) -> None:
    """Notes the parts of the object whose file is `file`, each with its checksum of `algorithm`, if any."""
    rows = [[part.size, {algorithm: part.checksums[algorithm]} if algorithm else {}] for part in parts]
    connection.execute("INSERT INTO layouts VALUES (?, ?)", (file, json.dumps(rows)))


def load_layout(text: str) -> list[ObjectPart]:
    """The parts in their order."""
    found, offset = [], 0
    for number, (size, checksums) in enumerate(json.loads(text), 1):
        found.append(ObjectPart(number, offset, size, checksums))
        offset += size
    return found
