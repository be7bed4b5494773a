"""`shuffle_rows` and `sample_rows`: by random keys that a seed and a row's place give."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Unpack

import numpy as np

from ift_sagemaker.data.reading.sources import Source
from ift_sagemaker.data.shaping.draws import CHUNK, Draws
from ift_sagemaker.data.shaping.split import check_share
from ift_sagemaker.data.shaping.work import Destination, Limits, Reading, Shaped, Work
from ift_sagemaker.data.writing.desk import Desk, place_of
from ift_sagemaker.data.writing.rowfile import compression_of, lines_to
from ift_sagemaker.errors import ConfigError

_PARTS = 64
_BITS = 6
_ROW_COST = 64
"""Bytes that a line costs beside its own: key, length, and what sorting takes."""


def shuffle_rows(
    source: Source, destination: Destination, *, seed: int = 0, **limits: Unpack[Limits]
) -> Shaped:
    """Writes the rows of a file or folder in a random order to the file `destination`.

    Every order is equally likely. The same rows and seed give the same order, whatever the memory:
    `InstructionDataset.shuffle` has it too. What memory cannot hold is dealt by the first bits of random keys
    into files beside the destination, as large as the rows, and each is brought in order by itself.

    Raises DatasetError with every finding, ConfigError for a destination that is there.
    """
    place = place_of(destination)
    compression = compression_of(place)
    work = Work(**limits)
    reading = Reading(source, work)
    with Desk(place) as desk:
        heap = _Deal(desk.folder / "heap", work.memory_bytes)
        for (_, _, line), key in zip(reading, _keys(Draws("shuffle", seed)), strict=False):
            heap.add(key, line)
        with lines_to(desk.made, compression) as write:
            heap.write(write)
    return Shaped(
        "shuffle", (str(source),), str(place), reading.rows, reading.rows, {place.name: reading.rows}, seed
    )


def shuffled(count: int, seed: int) -> list[int]:
    """The places of `count` rows in the order that `shuffle_rows` gives them."""
    return [int(place) for place in np.argsort(Draws("shuffle", seed).keys(0, count))]


def sample_rows(
    source: Source,
    destination: Destination,
    *,
    count: int | None = None,
    share: float | None = None,
    seed: int = 0,
    **limits: Unpack[Limits],
) -> Shaped:
    """Writes `count` rows of a file or folder, or a `share` of them, in their order, to the file
    `destination`.

    Every choice of rows is equally likely; the same rows, seed and number give the same, and a larger number
    all of them and more. A share is rounded to whole rows, at least 1. With a count, only rows that may still
    be chosen are kept on disk, with a share all are.

    Raises DatasetError with every finding, ConfigError for anything but one of `count` (1 or more, no more
    than there are) and `share` (over 0 and under 1), and for a destination that is there.
    """
    check_wanted(count, share)
    place = place_of(destination)
    compression = compression_of(place)
    work = Work(**limits)
    reading = Reading(source, work)
    draws = Draws("sample", seed)
    with Desk(place) as desk:
        candidates = _Candidates(draws, count)
        with lines_to(desk.folder / "rows", "") as write:
            for (_, _, line), key in zip(reading, _keys(draws), strict=False):
                if candidates.take(key):
                    write(line)
        wanted = wanted_of(reading.rows, count, share)
        highest = draws.lowest(reading.rows, wanted)
        with lines_to(desk.made, compression) as write, (desk.folder / "rows").open("rb") as lines:
            for line, key in zip(lines, candidates.keys(), strict=False):
                if key <= highest:
                    write(line)
    return Shaped("sample", (str(source),), str(place), reading.rows, wanted, {place.name: wanted}, seed)


def sampled(rows: int, wanted: int, seed: int) -> list[int]:
    """The places of the rows that `sample_rows` chooses, in order."""
    draws = Draws("sample", seed)
    return [int(place) for place in np.flatnonzero(draws.keys(0, rows) <= draws.lowest(rows, wanted))]


def check_wanted(count: int | None, share: float | None) -> None:
    """Raises ConfigError unless there is one of both, and it is in range."""
    if (count is None) == (share is None):
        raise ConfigError(
            "a sample has a count of rows or a share of them: give one of both",
            field="count",
            allowed="count or share",
        )
    if count is not None and count < 1:
        raise ConfigError(f"count is 1 or more, got {count}", field="count", value=count, allowed="1 or more")
    if share is not None:
        check_share("share", share)


def wanted_of(rows: int, count: int | None, share: float | None) -> int:
    """How many of `rows` are wanted; raises ConfigError for more than there are."""
    wanted = count if count is not None else max(1, round(rows * (share or 0)))
    if wanted > rows:
        raise ConfigError(
            f"{wanted} rows are wanted, there are {rows}",
            field="count",
            value=wanted,
            allowed=f"1 to {rows}",
        )
    return wanted


def _keys(draws: Draws) -> Iterator[int]:
    start = 0
    while True:
        yield from array("Q", draws.keys(start, CHUNK).tobytes())
        start += CHUNK


class _Candidates:
    """Which rows may still be among the `count` of lowest keys, and the keys of those that were."""

    def __init__(self, draws: Draws, count: int | None) -> None:
        self._taken = array("Q")
        self._draws = draws
        self._count = count
        self._seen = 0
        self._next_look = 2 * count if count is not None else 0
        self._highest = (1 << 64) - 1

    def take(self, key: int) -> bool:
        if self._count is not None and self._seen == self._next_look:
            # those that are wanted of the rows so far: no later row with a higher key comes among them
            self._highest = self._draws.lowest(self._seen, self._count)
            self._next_look *= 2
        self._seen += 1
        if key > self._highest:
            return False
        if self._count is not None:
            self._taken.append(key)
        return True

    def keys(self) -> Iterable[int]:
        """The keys of the rows that were taken."""
        return self._taken if self._count is not None else _keys(self._draws)


class _Deal:
    """Lines with keys, written in the order of their keys. Too many are dealt to files by leading bits."""

    def __init__(self, folder: Path, memory_bytes: int, *, shift: int = 64 - _BITS) -> None:
        self._folder = folder
        self._memory = memory_bytes
        self._shift = shift
        self._lines = [bytearray() for _ in range(_PARTS)]
        self._entries = [array("Q") for _ in range(_PARTS)]
        self._held = 0
        self._spilled = False

    def add(self, key: int, line: bytes) -> None:
        part = (key >> self._shift) % _PARTS
        self._lines[part] += line
        self._entries[part].append(key)
        self._entries[part].append(len(line))
        self._held += len(line) + _ROW_COST
        if self._held > self._memory // 4:
            self._spill()

    def _spill(self) -> None:
        self._folder.mkdir(exist_ok=True)
        self._spilled = True
        for part in range(_PARTS):
            if self._entries[part]:
                with self._file(part, "lines").open("ab", buffering=0) as file:
                    file.write(self._lines[part])
                with self._file(part, "entries").open("ab", buffering=0) as file:
                    file.write(self._entries[part].tobytes())
        self._lines = [bytearray() for _ in range(_PARTS)]
        self._entries = [array("Q") for _ in range(_PARTS)]
        self._held = 0

    def _file(self, part: int, what: str) -> Path:
        return self._folder / f"{part:02d}.{what}"

    def write(self, write: Callable[[bytes], object]) -> None:
        """Writes all lines, and removes the files as they are done with."""
        if self._spilled:
            self._spill()
        for part in range(_PARTS):
            if not self._spilled:
                _write_sorted(self._lines[part], self._entries[part].tobytes(), write)
            elif self._file(part, "lines").exists():
                self._write_part(part, write)

    def _write_part(self, part: int, write: Callable[[bytes], object]) -> None:
        lines, entries = self._file(part, "lines"), self._file(part, "entries")
        size = lines.stat().st_size + entries.stat().st_size * _ROW_COST // 16
        if size <= self._memory // 2 or entries.stat().st_size == 16:
            _write_sorted(lines.read_bytes(), entries.read_bytes(), write)
        else:
            self._deal_again(lines, entries, write)
        lines.unlink(missing_ok=True)
        entries.unlink(missing_ok=True)

    def _deal_again(self, lines: Path, entries: Path, write: Callable[[bytes], object]) -> None:
        deeper = _Deal(lines.with_suffix(".heap"), self._memory, shift=self._shift - _BITS)
        with lines.open("rb") as lines_file, entries.open("rb") as entries_file:
            while entry := entries_file.read(16):
                key = int.from_bytes(entry[:8], "little")
                deeper.add(key, lines_file.read(int.from_bytes(entry[8:], "little")))
        deeper.write(write)


def _write_sorted(lines: bytes | bytearray, entries: bytes, write: Callable[[bytes], object]) -> None:
    keys, lengths = np.frombuffer(entries, np.uint64).reshape(-1, 2).T
    ends = np.cumsum(lengths)
    starts = ends - lengths
    order = np.argsort(keys)
    view = memoryview(lines)
    for start, end in zip(starts[order].tolist(), ends[order].tolist(), strict=True):
        write(bytes(view[start:end]))
