"""Which rows repeat an earlier one, to the letter or nearly. Beside its buffers, five bytes a row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ift_sagemaker.data.likeness.keyed import KeyedNumbers
from ift_sagemaker.data.likeness.nearness import Nearness
from ift_sagemaker.data.memory import DEFAULT_MEMORY

KEPT, EQUAL, NEAR = range(3)


class Repeats:
    """Rows one by one; then the fate of each: KEPT, EQUAL to one that is kept, or NEAR one that is."""

    def __init__(self, folder: Path, memory_bytes: int, *, near: bool) -> None:
        self._keyed = KeyedNumbers(folder / "keys", memory_bytes)
        self._near = Nearness(folder / "near", memory_bytes) if near else None
        self.rows = 0

    def add(self, key: bytes, text: str) -> None:
        """The next row: rows of one key are equal, those of texts nearly the same are near."""
        self._keyed.add(hashlib.blake2b(key, digest_size=16).digest(), self.rows)
        if self._near is not None:
            self._near.add(text)
        self.rows += 1

    def close(self) -> None:
        if self._near is not None:
            self._near.close()

    def fates(self) -> bytearray:
        """The fate of every row; the first of equal ones is kept. To be asked once."""
        fates = np.zeros(self.rows, np.uint8)
        ranks = np.zeros(self.rows if self._near is not None else 0, np.uint32)
        for numbers, starts in self._keyed.groups():
            places = numbers.astype(np.int64)
            firsts = np.repeat(places[starts], np.diff(starts, append=len(places)))
            fates[places[places != firsts]] = EQUAL
            if self._near is not None:
                ranks[places] = firsts
        if self._near is not None:
            for first, second in self._near.candidates(ranks):
                # by second: what becomes of every earlier row is known
                if fates[first] == KEPT and fates[second] == KEPT and self._near.are_alike(first, second):
                    fates[second] = NEAR
        return bytearray(fates.tobytes())


def kept_of(rows: Iterable[tuple[bytes, str]], *, near: bool) -> list[int]:
    """The places of the rows, (key, text) each, that repeat no earlier one."""
    with TemporaryDirectory() as folder:
        repeats = Repeats(Path(folder), DEFAULT_MEMORY, near=near)
        with closing(repeats):
            for key, text in rows:
                repeats.add(key, text)
            return [place for place, fate in enumerate(repeats.fates()) if fate == KEPT]
