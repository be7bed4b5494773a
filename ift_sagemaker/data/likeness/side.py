"""One set of texts as an examination keeps it: on disk, a few hundred bytes a row, nothing in memory.

`rows` has a record a row, `excerpts` the beginning of each prompt, `shingles` the shingles of each prompt;
`exact` and `bands` have the keys by which equal and similar prompts meet.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ift_sagemaker.data.likeness.grouping import KeyStore
from ift_sagemaker.data.likeness.similarity import BANDS, Shingled, signatures
from ift_sagemaker.data.likeness.words import Numbers

RECORD = np.dtype(
    [
        ("line", np.uint64),
        ("file", np.uint32),
        ("shingles", np.uint64),
        ("excerpt", np.uint64),
        ("sketch", "u8"),
    ]
)
"""Of a row: where it stands, and where its shingles and its excerpt end in their files."""
EXACT = np.dtype([("key", "u8"), ("more", "u8"), ("answer", "u8"), ("answer_more", "u8"), ("number", "u8")])
"""128 bits of the prompt's hash and 128 of the completion's: more than any set could make meet by chance."""
BAND = np.dtype([("key", "u8"), ("number", "u8")])
_EXCERPT = 61
_COPIED_RECORDS = 1 << 14
_DIGEST = 16


class Side:
    """The rows that are checked, or those that they are checked against."""

    def __init__(self, folder: Path, memory_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.exact = KeyStore(folder / "exact", EXACT, memory_bytes // 8)
        self.bands = KeyStore(folder / "bands", BAND, memory_bytes // 4)
        self.files: list[str] = []
        self._file_numbers: dict[str, int] = {}
        self.rows = 0
        self._rows, self._excerpts, self._shingles = (
            (folder / name).open("wb") for name in ("rows", "excerpts", "shingles")
        )

    def file_number(self, path: str) -> int:
        """The number of a source; one that is new gets the next."""
        number = self._file_numbers.get(path)
        if number is None:
            number = self._file_numbers[path] = len(self.files)
            self.files.append(path)
        return number

    def add(
        self,
        places: tuple[Sequence[int], Sequence[int]],
        prompts: Sequence[str],
        completions: Sequence[str],
        sets: Shingled | None,
    ) -> None:
        """Takes rows: the numbers of their files and their lines; `sets` where likeness is asked for."""
        records = np.zeros(len(prompts), RECORD)
        numbers = np.arange(self.rows, self.rows + len(prompts), dtype=np.uint64)
        records["file"], records["line"] = places
        excerpts = [prompt[:_EXCERPT].encode("utf-8", "surrogatepass") for prompt in prompts]
        records["excerpt"] = self._excerpts.tell() + np.cumsum([*map(len, excerpts)])
        self._excerpts.write(b"".join(excerpts))
        records["shingles"] = self._shingles.tell() // 4
        if sets is not None:
            records["shingles"] += sets.bounds[1:].astype(np.uint64)
            self._shingles.write(sets.shingles.tobytes())
            records["sketch"] = self._add_bands(sets, numbers)
        exact = np.empty(len(prompts), EXACT)
        exact["number"] = numbers
        exact["key"], exact["more"] = _digests(prompts)
        exact["answer"], exact["answer_more"] = _digests(completions)
        self.exact.add(exact)
        self._rows.write(records.tobytes())
        self.rows += len(prompts)

    def _add_bands(self, sets: Shingled, numbers: Numbers) -> Numbers:
        keys, sketches = signatures(sets)
        filled = np.flatnonzero(np.diff(sets.bounds))
        bands = np.empty((len(filled), BANDS), BAND)
        bands["key"] = keys[filled]
        bands["number"] = numbers[filled][:, None]
        self.bands.add(bands.ravel())
        return sketches

    def flush(self) -> None:
        """Rows, excerpts and shingles are in their files."""
        for file in (self._rows, self._excerpts, self._shingles):
            file.flush()

    def save(self, folder: Path) -> None:
        """Writes everything into another folder, from which `absorb` goes on."""
        self.flush()
        folder.mkdir(parents=True)
        for name in ("rows", "excerpts", "shingles"):
            shutil.copyfile(self.folder / name, folder / name)
        self.exact.save(folder / "exact")
        self.bands.save(folder / "bands")

    def absorb(self, folder: Path, files: Sequence[str]) -> None:
        """Adds the rows that another side has saved in `folder` behind its own; `files` are its sources."""
        base = self.rows
        moved = np.array([self.file_number(path) for path in files], np.uint32)
        starts = {"shingles": self._shingles.tell() // 4, "excerpt": self._excerpts.tell()}
        with (folder / "rows").open("rb") as source:
            while data := source.read(_COPIED_RECORDS * RECORD.itemsize):
                records = np.frombuffer(bytearray(data), RECORD)
                records["file"] = moved[records["file"]]
                for name, start in starts.items():
                    records[name] += np.uint64(start)
                self._rows.write(records.tobytes())
                self.rows += len(records)
        _append(folder / "shingles", self._shingles)
        _append(folder / "excerpts", self._excerpts)
        self.exact.absorb(folder / "exact", base)
        self.bands.absorb(folder / "bands", base)

    def close(self) -> None:
        """Closes the files; they stay."""
        for file in (self._rows, self._excerpts, self._shingles):
            file.close()


class Rows:
    """The records, shingles and excerpts of a side, read from its files."""

    def __init__(self, side: Side) -> None:
        side.flush()
        self.files = tuple(side.files)
        self.records = _mapped(side.folder / "rows", RECORD)
        self._shingles = _mapped(side.folder / "shingles", np.dtype(np.uint32))
        self._excerpts = _mapped(side.folder / "excerpts", np.dtype(np.uint8))

    def place(self, number: int) -> tuple[str, int]:
        """Source and line of a row."""
        record = self.records[number]
        return self.files[record["file"]], int(record["line"])

    def excerpt(self, number: int) -> str:
        """The beginning of a row's prompt, one character more than is shown."""
        start, end = self._range("excerpt", number)
        return self._excerpts[start:end].tobytes().decode("utf-8", "surrogatepass")

    def sizes(self, numbers: Numbers) -> npt.NDArray[np.int64]:
        """How many shingles each of the rows has."""
        ends = self.records["shingles"]
        starts = np.where(numbers > 0, ends[numbers - np.minimum(numbers, 1)], 0)
        sizes: npt.NDArray[np.int64] = (ends[numbers] - starts).astype(np.int64)
        return sizes

    def shingles(self, numbers: Numbers) -> Shingled:
        """The shingles of these rows."""
        sizes = self.sizes(numbers)
        bounds = np.r_[np.int64(0), np.cumsum(sizes)]
        starts = self.records["shingles"][numbers].astype(np.int64) - sizes
        places = np.arange(bounds[-1]) + np.repeat(starts - bounds[:-1], sizes)
        return Shingled(np.asarray(self._shingles[places]), bounds)

    def _range(self, name: str, number: int) -> tuple[int, int]:
        start = int(self.records[number - 1][name]) if number else 0
        return start, int(self.records[number][name])


def _digests(texts: Sequence[str]) -> tuple[Numbers, Numbers]:
    blake = hashlib.blake2b
    joined = b"".join(
        [blake(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest() for text in texts]
    )
    halves = np.frombuffer(joined, "<u8").reshape(-1, 2)
    return halves[:, 0], halves[:, 1]


def _append(path: Path, file: IO[bytes]) -> None:
    with path.open("rb") as source:
        shutil.copyfileobj(source, file, 1 << 18)


def _mapped(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The file as an array that stays on disk."""
    if not path.stat().st_size:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")
