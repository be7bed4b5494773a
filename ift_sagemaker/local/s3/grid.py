"""One file for the parts of an upload, each at its final place, so that completing writes no byte again.

The file is a grid: part N begins at (N - 1) times the size of the part that came first, and each slot is
given away once. A part that is sent again, or that is larger than that one, gets a file of its own; then, as
where numbers are left out, completing joins the parts by copying. A slot once given may be written by its
holder at any time, so the file becomes an object only where no slot is given beyond the parts that make it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from uuid import uuid4

from ift_sagemaker.local.s3.files import Slot

MIN_PART_BYTES = 5 << 20
MAX_PARTS = 10_000
MAX_LISTED = 1000
# sparse up to the last part; file systems hold this much
_MAX_FILE_BYTES = 8 << 40


@dataclass(frozen=True)
class Part:
    """One uploaded part; its bytes are those of `file` from `offset` on."""

    number: int
    file: str
    offset: int
    size: int
    etag: str
    modified: float
    checksums: Mapping[str, str]


@dataclass(frozen=True)
class Grid:
    """The file of an upload; slots of `part_size` bytes, `taken` of them given away."""

    file: str
    part_size: int
    taken: int

    def offset(self, number: int) -> int:
        return (number - 1) * self.part_size

    def is_whole(self, parts: Sequence[Part]) -> bool:
        """Whether the parts, and nothing else, lie in the file, one right after the other."""
        end = 0
        for number, part in enumerate(parts, 1):
            if part.file != self.file or part.number != number or part.offset != end:
                return False
            end += part.size
        return self.taken == len(parts)


def find(connection: Connection, upload: str) -> Grid | None:
    """The grid of an upload that has one."""
    taken = "(SELECT count(*) FROM slots WHERE upload = ?1)"
    sql = f"SELECT file, part_size, {taken} FROM grids WHERE upload = ?1"  # noqa: S608 - fixed texts
    row = connection.execute(sql, (upload,)).fetchone()
    return Grid(*row) if row else None


def take_slot(connection: Connection, upload: str, number: int, size: int, least: int) -> Slot | None:
    """A slot for a part of `size` bytes, never given before; None where the part needs a file of its own.

    `least` bytes have all parts but the last.
    """
    grid = find(connection, upload) or _begin(connection, upload, number, size, least)
    if grid is None or size > grid.part_size or grid.offset(number) + size > _MAX_FILE_BYTES:
        return None
    taken = connection.execute("INSERT OR IGNORE INTO slots VALUES (?, ?)", (upload, number))
    return Slot(grid.file, grid.offset(number), size) if taken.rowcount else None


def _begin(connection: Connection, upload: str, number: int, size: int, least: int) -> Grid | None:
    # a part below the least size can only be the last one, whose size says nothing of the others
    if not size or (number > 1 and size < least):
        return None
    grid = Grid(uuid4().hex, size, 0)
    connection.execute("INSERT INTO grids VALUES (?, ?, ?)", (upload, grid.file, size))
    return grid
