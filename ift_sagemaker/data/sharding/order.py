"""The order of work on a set in pieces: what hosts that share nothing need to know to do it together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ift_sagemaker.wire.template import PromptTemplate

ORDER_FILE = "order.json"
REPORT_FILE = "report.json"
PIECE_DIGITS = 6
"""Of a piece's number in the names of what became of it, so that names are in the order of pieces."""


@dataclass(frozen=True)
class Piece:
    """One object of a source: where it lies, and where a host that was dealt it finds it below its inputs.

    `format` and `template` are those of the whole source, which no host sees; None where it has no row.
    """

    address: str
    path: str
    format: str | None
    template: PromptTemplate | None = None
    held_out: bool = False


@dataclass(frozen=True)
class WorkOrder:
    """All pieces in the order in which one machine would read them, and what is to be done with each.

    `name` is that of the report, `target` a name of `TARGETS`. `empty` are sources without a row.
    """

    name: str
    pieces: tuple[Piece, ...]
    target: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    memory_bytes: int = 256 << 20
    empty: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The order as JSON; equal orders are equal bytes."""
        value = {
            "name": self.name,
            "target": self.target,
            "fields": dict(self.fields),
            "without": sorted(self.without),
            "memory_bytes": self.memory_bytes,
            "empty": list(self.empty),
            "pieces": [_plain(piece) for piece in self.pieces],
        }
        return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes) -> WorkOrder:
        value: dict[str, Any] = json.loads(content)
        return cls(
            name=value["name"],
            pieces=tuple(_piece(piece) for piece in value["pieces"]),
            target=value["target"],
            fields=value["fields"],
            without=tuple(value["without"]),
            memory_bytes=value["memory_bytes"],
            empty=tuple(value["empty"]),
        )


def piece_name(number: int) -> str:
    """`000012`; sorts as the pieces do."""
    return f"{number:0{PIECE_DIGITS}d}"


def _plain(piece: Piece) -> dict[str, Any]:
    template = piece.template
    return {
        "address": piece.address,
        "path": piece.path,
        "format": piece.format,
        "template": None if template is None else [template.prompt, template.completion],
        "held_out": piece.held_out,
    }


def _piece(value: Mapping[str, Any]) -> Piece:
    template = value["template"]
    return Piece(
        value["address"],
        value["path"],
        value["format"],
        None if template is None else PromptTemplate(*template),
        value["held_out"],
    )
