"""Which rows belong together, and on which side each goes. Beside its buffers, about 20 bytes a row."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from ift_sagemaker.data.likeness.keyed import KeyedNumbers
from ift_sagemaker.data.likeness.nearness import Nearness, Ranks
from ift_sagemaker.data.likeness.words import Numbers, Places
from ift_sagemaker.data.memory import DEFAULT_MEMORY
from ift_sagemaker.data.shaping.split import draw_key, draw_parts
from ift_sagemaker.errors import ConfigError

MAX_STRATA = 1_000
_CHUNK = 1 << 14
_NONE = np.uint32(0xFFFFFFFF)
_NO_STRATUM = 0xFFFF

Strata = dict[str, dict[int, int]]


class Parting:
    """Rows with their prompts, one by one; then the side of each.

    Rows that share a prompt are one group, with `near` also those whose prompts are near duplicates. Groups
    are drawn in the order of a hash of seed and prompt, so the order of rows does not matter.
    """

    def __init__(self, folder: Path, memory_bytes: int, *, seed: int, near: bool) -> None:
        self._seed = seed
        self._keyed = KeyedNumbers(folder / "keys", memory_bytes)
        self._near = Nearness(folder / "near", memory_bytes) if near else None
        self._codes: dict[str, int] = {}
        self._strata = array("H")
        self._several = False
        self.rows = 0
        self.groups = 0

    def add(self, prompts: Sequence[str], stratum: str | None = None, *, has_words: bool = True) -> None:
        """The next row; all of its prompts stay on its side. All rows have a stratum, or none.

        Prompts without words are only ever equal, never near.
        """
        for prompt in prompts:
            self._keyed.add(draw_key(prompt, self._seed)[:16], self.rows)
        self._several = self._several or len(prompts) > 1
        if self._near is not None:
            self._near.add("\n".join(prompts) if has_words else "")
        if stratum is not None:
            self._strata.append(self._code(stratum))
        self.rows += 1

    def _code(self, stratum: str) -> int:
        code = self._codes.setdefault(stratum, len(self._codes))
        if code >= MAX_STRATA:
            raise ConfigError(
                f"rows are stratified by a field with more than {MAX_STRATA} values: name one with few",
                field="stratify",
                allowed=f"a field with up to {MAX_STRATA} values",
            )
        return code

    def close(self) -> None:
        if self._near is not None:
            self._near.close()

    def sides(self, shares: Sequence[float]) -> Sides:
        """The side of every row: 0 for train, else the place of its share, from 1. To be asked once."""
        ranks = np.full(self.rows, _NONE, np.uint32)
        sizes, firsts, roots = array("I"), array("I"), _Roots()
        for numbers, starts in self._keyed.groups():
            base = len(sizes)
            counts = np.diff(starts, append=len(numbers))
            sizes.frombytes(counts.astype(np.uint32).tobytes())
            if self._near is not None:
                firsts.frombytes(numbers[starts].astype(np.uint32).tobytes())
            if self._several:
                _ranked_one_by_one(numbers, starts, base, ranks, sizes, roots)
            else:
                gids = np.repeat(np.arange(base, base + len(starts), dtype=np.uint32), counts)
                ranks[numbers.astype(np.int64)] = gids
        if self._near is not None:
            for first, second in self._near.candidates(ranks):
                if roots.of(first) != roots.of(second) and self._near.are_alike(
                    firsts[first], firsts[second]
                ):
                    roots.join(first, second)
        roots.gather(sizes)
        self.groups = sum(1 for size in sizes if size)
        strata = self._strata_of(ranks, roots, len(sizes)) if self._codes else None
        drawn = draw_parts(sizes, shares, strata)
        roots.spread(drawn)
        return Sides(ranks, drawn)

    def _strata_of(self, ranks: Ranks, roots: _Roots, groups: int) -> array[int]:
        """The stratum that most rows of a group have, numbered in the order of their texts."""
        place = np.empty(len(self._codes), np.uint16)
        place[[self._codes[name] for name in sorted(self._codes)]] = np.arange(len(place))
        self._codes = {name: int(place[code]) for name, code in self._codes.items()}
        strata = place[np.frombuffer(self._strata, np.uint16)]
        self._strata = array("H", strata.tobytes())
        low, high = np.full(groups, _NO_STRATUM, np.uint16), np.zeros(groups, np.uint16)
        for start in range(0, len(ranks), _CHUNK):
            these = roots.of_all(ranks[start : start + _CHUNK])
            np.minimum.at(low, these, strata[start : start + _CHUNK])
            np.maximum.at(high, these, strata[start : start + _CHUNK])
        mixed = (low != high) & (low != _NO_STRATUM)
        low[low == _NO_STRATUM] = 0  # groups that went into others
        for group, counts in _counts_of(mixed, ranks, strata, roots).items():
            low[group] = min(counts, key=lambda code: (-counts[code], code))
        return array("H", low.tobytes())

    def strata(self, sides: Sides) -> Strata:
        """Rows by side of each stratum."""
        found: Strata = {name: {} for name in sorted(self._codes)}
        names = sorted(self._codes, key=lambda name: self._codes[name])
        for (code, side), count in sorted(Counter(zip(self._strata, sides, strict=False)).items()):
            found[names[code]][side] = count
        return found


class Sides:
    """The side of each row, in the order of rows."""

    def __init__(self, ranks: Ranks, drawn: bytearray) -> None:
        self._ranks = ranks
        self._drawn = np.frombuffer(drawn, np.uint8)

    def __iter__(self) -> Iterator[int]:
        for start in range(0, len(self._ranks), _CHUNK):
            yield from self._drawn[self._ranks[start : start + _CHUNK]].tobytes()


def _ranked_one_by_one(
    numbers: Numbers, starts: Places, base: int, ranks: Ranks, sizes: array[int], roots: _Roots
) -> None:
    """Ranks of rows that may have several prompts: the first found counts, the others are joined to it."""
    ends = np.append(starts[1:], len(numbers))
    for place, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        for number in set(numbers[start:end].tolist()):
            if ranks[number] == _NONE:
                ranks[number] = base + place
            else:
                roots.join(int(ranks[number]), base + place)
        sizes[base + place] = int(
            np.count_nonzero(ranks[np.unique(numbers[start:end]).astype(np.int64)] == base + place)
        )


def _counts_of(
    mixed: npt.NDArray[np.bool_], ranks: Ranks, strata: npt.NDArray[np.uint16], roots: _Roots
) -> dict[int, Counter[int]]:
    found: dict[int, Counter[int]] = defaultdict(Counter)
    for start in range(0, len(ranks), _CHUNK):
        these = roots.of_all(ranks[start : start + _CHUNK])
        for place in np.flatnonzero(mixed[these]):
            found[int(these[place])][int(strata[start + place])] += 1
    return found


class _Roots:
    """Groups that became one, each known by the lowest of its numbers. Untouched groups cost nothing."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def of(self, group: int) -> int:
        parent = self._parent
        root = group
        while (above := parent.get(root, root)) != root:
            root = above
        while (above := parent.get(group, group)) != root:
            parent[group] = root
            group = above
        return root

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.of(one), self.of(other)))
        if low != high:
            self._parent[high] = low

    def of_all(self, groups: Ranks) -> npt.NDArray[np.int64]:
        if not self._parent:
            return groups.astype(np.int64)
        return np.fromiter(map(self.of, groups.tolist()), np.int64, len(groups))

    def gather(self, sizes: array[int]) -> None:
        """Gives the rows of joined groups to their roots."""
        for group in self._parent:
            sizes[self.of(group)] += sizes[group]
            sizes[group] = 0

    def spread(self, sides: bytearray) -> None:
        """Gives the sides of the roots to joined groups."""
        for group in self._parent:
            sides[group] = sides[self.of(group)]


def sides_of(
    prompts: Iterable[str],
    strata: Iterable[str | None],
    shares: Sequence[float],
    *,
    seed: int,
    near: bool,
) -> list[int]:
    """The side of each row, 0 for train, else the place of its share, from 1."""
    with TemporaryDirectory() as folder:
        parting = Parting(Path(folder), DEFAULT_MEMORY, seed=seed, near=near)
        with closing(parting):
            for prompt, stratum in zip(prompts, strata, strict=True):
                parting.add([prompt], stratum)
            return list(parting.sides(shares))
