"""What all ways of shaping rows share: reading the rows of a source once, and what is told at the end.

A row goes out as it came in, with every field of its own; formats and field names only say what its prompt
and answer are. Memory stays within `memory_bytes`: what is more lies in a folder beside the destination.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from ift_sagemaker.data.memory import DEFAULT_MEMORY, check_memory
from ift_sagemaker.data.reading.containers import read_files
from ift_sagemaker.data.reading.sources import Source, Stored
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.data.writing.rowfile import NotJSONError, encode_source
from ift_sagemaker.wire.template import PromptTemplate

_PROGRESS_ROWS = 5_000

Destination = str | PathLike[str]


@dataclass(frozen=True)
class Progress:
    """Rows and bytes read so far; `total_bytes` where the source's size tells how many there will be."""

    rows: int
    bytes: int
    total_bytes: int | None


class Limits(TypedDict, total=False):
    """`memory_bytes`: what may be held at once beside the interpreter, 1 MiB or more, 256 MiB unless told."""

    memory_bytes: int
    on_progress: Callable[[Progress], None]


class Seeing(Limits, total=False):
    """How rows are seen: `format` is one of FORMATS, `fields` maps canonical names to the rows' own.

    `template` says what instruction rows ask and answer, as in `InstructionDataset.read`.
    """

    format: str | None
    fields: Mapping[str, str] | None
    template: PromptTemplate | None


@dataclass(frozen=True)
class Work:
    """`Limits` or `Seeing`, whole and checked."""

    memory_bytes: int = DEFAULT_MEMORY
    on_progress: Callable[[Progress], None] | None = None
    format: str | None = None
    fields: Mapping[str, str] | None = None
    template: PromptTemplate | None = None

    def __post_init__(self) -> None:
        check_memory(self.memory_bytes)


@dataclass(frozen=True)
class Shaped:
    """What was done: rows `read` and `written`, rows by file of the destination, and what else was counted.

    `counts` depends on the verb: rows dropped by reason, or taken by source. `strata` has, for a stratified
    split, the rows of each value by part.
    """

    verb: str
    sources: tuple[str, ...]
    destination: str
    read: int
    written: int
    files: Mapping[str, int]
    seed: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    strata: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Reading:
    """One pass over a source: iterating gives (line, row, its bytes) of every good row.

    At the end, DatasetError is raised with every finding, or for a source without rows.
    """

    def __init__(self, source: Source, work: Work) -> None:
        self.findings = Findings(str(source))
        self.rows = 0
        self.source = source
        self._work = work

    def __iter__(self) -> Iterator[tuple[int, Row, bytes]]:
        yield from self.each()
        self.finish()

    def each(self) -> Generator[tuple[int, Row, bytes], None, None]:
        """What iterating gives, without raising at the end: `finish` does."""
        total = _plain_size(self.source)
        read = 0
        for line, row in read_files(self.source, self.findings):
            try:
                data = encode_source(row)
            except NotJSONError as error:
                self.findings.add(line, "", "json", str(error))
                continue
            yield line, row, data
            self.rows += 1
            read += len(data)
            if self.rows % _PROGRESS_ROWS == 0:
                self._tell(read, total)
        self._tell(read, total)
        if not self.rows and not self.findings.errors:
            self.findings.add(0, "", "empty-file", "has no rows")

    def finish(self) -> None:
        """Raises DatasetError where there are errors."""
        self.findings.path = str(self.source)
        self.findings.raise_errors()

    def _tell(self, read: int, total: int | None) -> None:
        if self._work.on_progress is not None:
            self._work.on_progress(Progress(self.rows, read, total))


def _plain_size(source: Source) -> int | None:
    """The bytes of JSON lines of this machine that are not compressed."""
    if isinstance(source, Stored):
        return None
    path = Path(source)
    plain = path.suffix.lower() in (".jsonl", ".ndjson") and path.is_file()
    return path.stat().st_size if plain else None
