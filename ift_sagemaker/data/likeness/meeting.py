"""Where equal and similar prompts meet: within a side (repeats), and between the two sides (leakage).

Keys are read part by part, so that memory is bounded; what is found is noted in a file of verdicts with one
record a row. Nothing depends on the order in which parts are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ift_sagemaker.data.likeness.grouping import Entries, KeyStore
from ift_sagemaker.data.likeness.side import BAND, Rows, Side
from ift_sagemaker.data.likeness.similarity import THRESHOLD, are_likely, jaccards
from ift_sagemaker.data.likeness.words import Numbers

VERDICT = np.dtype(
    [
        ("first", "u8"),
        ("conflict", "u1"),
        ("leak", "u8"),
        ("near", "u8"),
        ("near_leak", "u8"),
        ("repeat", "u1"),
    ]
)
"""Of a row: 1 + the row that it repeats, the held-out row that it is, those that it is like; 0 for none."""
_WINDOW = 16
_SHINGLES_AT_ONCE = 1 << 18
_PAIRS_AT_ONCE = 1 << 15


class Meeting:
    """Finds the repeats of `side`, and what of it is also in `held_out`. Writes `verdicts` below `folder`."""

    def __init__(self, folder: Path, side: Side, held_out: Side, memory_bytes: int) -> None:
        self._side, self._held_out = side, held_out
        self.rows, self.held_rows = Rows(side), Rows(held_out)
        self._memory = memory_bytes // 8
        self.verdicts = _verdicts(folder / "verdicts", side.rows)
        self._held_verdicts = _verdicts(folder / "held-verdicts", held_out.rows)

    def exact(self) -> None:
        """Notes every row with an earlier row's prompt, and every row with the prompt of a held-out row."""
        for first, again in self._repeats(self._side.exact, self.verdicts):
            same = (first["answer"] == again["answer"]) & (first["answer_more"] == again["answer_more"])
            self.verdicts["conflict"][again["number"]] = ~same
        for _ in self._repeats(self._held_out.exact, self._held_verdicts):
            pass
        if len(self._held_verdicts):
            self._leaks()

    def near(self, *, duplicates: bool, leakage: bool) -> None:
        """Notes rows that are like others. Of rows with one prompt the first is looked at."""
        for own, held in self._parts():
            if duplicates:
                self._verify("near", self.rows, _neighbours(own))
            if leakage and len(held):
                fresh = own[self.verdicts["leak"][own["number"]] == 0]
                self._verify("near_leak", self.held_rows, _across(held, fresh))

    def likeness(self, other: Rows, first: int, second: int) -> float:
        """How alike row `second` is to row `first` of `other`."""
        one, two = (
            rows.shingles(np.array([number], np.uint64))
            for rows, number in ((other, first), (self.rows, second))
        )
        return float(jaccards(one, two)[0])

    def _repeats(self, store: KeyStore, verdicts: Entries) -> Iterator[tuple[Entries, Entries]]:
        """(first, again) of entries with one key; the verdicts are noted."""
        for (blocks,) in store.parts(at_once=self._memory // store.dtype.itemsize):
            for first, again in _firsts(blocks):
                verdicts["repeat"][again["number"]] = 1
                verdicts["first"][again["number"]] = first["number"] + np.uint64(1)
                yield first, again

    def _leaks(self) -> None:
        own, held = self._side.exact, self._held_out.exact
        for held_blocks, blocks in held.parts(own, at_once=self._memory // own.dtype.itemsize):
            known = [_only(block, self._held_verdicts) for block in held_blocks]
            if not known:
                continue
            firsts = np.concatenate(known)
            for block in blocks:
                for first, again in _firsts([firsts, block], keep=len(firsts)):
                    self.verdicts["leak"][again["number"]] = first["number"] + np.uint64(1)

    def _parts(self) -> Iterator[list[Entries]]:
        """Bands of both sides, of rows that repeat no other, as many at a time as memory has room for."""
        own, held = self._side.bands, self._held_out.bands
        for turns in own.parts(held, at_once=self._memory // BAND.itemsize):
            yield [
                _sorted([_only(block, known) for block in blocks])
                for blocks, known in zip(turns, (self.verdicts, self._held_verdicts), strict=True)
            ]

    def _verify(self, field: str, others: Rows, pairs: Iterable[tuple[Numbers, Numbers]]) -> None:
        """Notes for the second of every pair the lowest first that is alike."""
        noted = self.verdicts[field]
        for firsts, seconds in pairs:
            likely = are_likely(others.records["sketch"][firsts], self.rows.records["sketch"][seconds])
            known = noted[seconds]
            likely &= (known == 0) | (known > firsts + np.uint64(1))
            unique = np.unique(np.stack([seconds[likely], firsts[likely]]), axis=1)
            for second, first in self._affordable(unique, others):
                alike = jaccards(others.shingles(first), self.rows.shingles(second)) >= THRESHOLD
                _note_lowest(noted, second[alike], first[alike] + np.uint64(1))

    def _affordable(self, pairs: Any, others: Rows) -> Iterator[tuple[Numbers, Numbers]]:
        """The pairs, as many at a time as have no more shingles than are to be in memory."""
        seconds, firsts = pairs
        if not len(seconds):
            return
        costs = np.cumsum(self.rows.sizes(seconds) + others.sizes(firsts))
        cuts = np.flatnonzero(np.diff(costs // _SHINGLES_AT_ONCE)) + 1
        yield from zip(np.split(seconds, cuts), np.split(firsts, cuts), strict=True)


def _verdicts(path: Path, rows: int) -> Entries:
    return np.memmap(path, VERDICT, mode="w+", shape=(rows,)) if rows else np.empty(0, VERDICT)


def _only(entries: Entries, verdicts: Entries) -> Entries:
    """Those of rows that repeat no other."""
    kept: Entries = entries[verdicts["repeat"][entries["number"]] == 0]
    return kept


def _sorted(blocks: list[Entries]) -> Entries:
    entries = np.concatenate([np.empty(0, BAND), *blocks])
    return entries[np.lexsort((entries["number"], entries["key"]))]


def _firsts(blocks: Iterable[Entries], keep: int | None = None) -> Iterator[tuple[Entries, Entries]]:
    """(first, again) of entries with the same 128 bits, block by block; with `keep` the first one starts."""
    carried: Entries | None = None
    for block in blocks:
        if carried is None and keep is not None:
            carried = block
            continue
        entries = block if carried is None else np.concatenate([carried, block])
        order = np.lexsort((np.arange(len(entries)), entries["more"], entries["key"]))
        ordered = entries[order]
        new = np.ones(len(ordered), np.bool_)
        new[1:] = (ordered["key"][1:] != ordered["key"][:-1]) | (ordered["more"][1:] != ordered["more"][:-1])
        group = np.flatnonzero(new)[np.cumsum(new) - 1]
        again = ~new
        if keep is not None:
            again &= order[group] < keep
        yield ordered[group[again]], ordered[again]
        carried = ordered[new]


def _neighbours(entries: Entries) -> Iterator[tuple[Numbers, Numbers]]:
    """Pairs of rows with a key in common: each with the 16 before it, and with the first."""
    for start, end in _groupwise(entries):
        keys, numbers = entries["key"][start:end], entries["number"][start:end]
        firsts = np.searchsorted(keys, keys)
        behind = np.flatnonzero(np.arange(len(keys)) - firsts > _WINDOW)
        if len(behind):
            yield numbers[firsts[behind]], numbers[behind]
        for step in range(1, min(_WINDOW + 1, len(keys))):
            same = np.flatnonzero(keys[step:] == keys[:-step])
            if not len(same):
                break
            yield numbers[same], numbers[same + step]


def _across(held: Entries, own: Entries) -> Iterator[tuple[Numbers, Numbers]]:
    """Pairs of a held-out row and a row with a key in common, at most 16 for each row and key."""
    for start in range(0, len(own), _PAIRS_AT_ONCE):
        some = own[start : start + _PAIRS_AT_ONCE]
        first = np.searchsorted(held["key"], some["key"], side="left")
        count = np.searchsorted(held["key"], some["key"], side="right") - first
        for step in range(min(_WINDOW, int(count.max(initial=0)))):
            there = np.flatnonzero(count > step)
            # where there are more than 16, each row looks at others of them
            turn = (step + some["number"][there] * np.uint64(_WINDOW)) % count[there].astype(np.uint64)
            yield held["number"][first[there] + turn.astype(np.int64)], some["number"][there]


def _groupwise(entries: Entries) -> Iterator[tuple[int, int]]:
    """Bounds of pieces of about 32,768 entries that part no group, unless the group is longer."""
    start = 0
    while start < len(entries):
        end = min(start + _PAIRS_AT_ONCE, len(entries))
        if end < len(entries):
            first = int(np.searchsorted(entries["key"], entries["key"][end]))
            end = (
                first
                if first > start
                else int(np.searchsorted(entries["key"], entries["key"][end], side="right"))
            )
        yield start, end
        start = end


def _note_lowest(noted: npt.NDArray[Any], places: Numbers, values: Numbers) -> None:
    order = np.lexsort((values, places))[::-1]  # of one place the lowest comes last, and stays
    places, values = places[order], values[order]
    before = noted[places]
    noted[places] = np.where((before == 0) | (before > values), values, before)
