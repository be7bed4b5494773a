"""A batch of texts as numbers: their characters' kinds and their words' hashes, all rows at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

MAX_CHARACTERS = 1 << 18
"""Of a longer text the words of its beginning are looked at."""

WORD, SINGLE, DIGIT, AT, BRACKET = (1 << bit for bit in range(5))
"""Kinds of characters. `SINGLE` is a word by itself: writing that puts no blanks between words."""
SCRIPTS = (
    "Latin",
    "Cyrillic",
    "Greek",
    "Arabic",
    "Hebrew",
    "Devanagari",
    "Thai",
    "Han",
    "Kana",
    "Hangul",
)
_FIRST_SCRIPT = 5
SCRIPT_BITS = {name: 1 << (_FIRST_SCRIPT + place) for place, name in enumerate(SCRIPTS)}
_BLOCKS = (
    ("Latin", 0x41, 0x250),
    ("Latin", 0x1E00, 0x1F00),
    ("Greek", 0x370, 0x400),
    ("Cyrillic", 0x400, 0x530),
    ("Hebrew", 0x590, 0x600),
    ("Arabic", 0x600, 0x780),
    ("Devanagari", 0x900, 0x980),
    ("Thai", 0xE00, 0xE80),
    ("Kana", 0x3040, 0x3100),
    ("Han", 0x3400, 0xA000),
    ("Hangul", 0xAC00, 0xD7B0),
)
_UNSPACED = ("Thai", "Han", "Kana")
_BEYOND = 0xFFFF
_STEP = np.uint64(0x9E3779B97F4A7C15)
_UNDO = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_MIX = np.uint64(0xD6E8FEB86659FD93)

Numbers = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


@cache
def _kinds() -> npt.NDArray[np.uint32]:
    """The kind of every character of the basic plane; those beyond are words by themselves."""
    table = np.zeros(_BEYOND + 1, np.uint32)
    for code in range(_BEYOND):
        character = chr(code)
        if character.isalnum() or character == "_" or unicodedata.category(character).startswith("M"):
            table[code] = WORD
    for name, start, end in _BLOCKS:
        block = table[start:end]
        block[block == WORD] |= SCRIPT_BITS[name]
        if name in _UNSPACED:
            block[block != 0] ^= WORD | SINGLE
    table[0x30:0x3A] |= DIGIT
    table[ord("@")] = AT
    table[[ord("<"), ord("[")]] = BRACKET
    table[_BEYOND] = SINGLE
    return table


@cache
def _powers(step: int, count: int) -> Numbers:
    factors = np.full(count, step, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def mixed(values: Numbers) -> Numbers:
    """The numbers with their bits spread; equal ones stay equal, different ones different."""
    spread = (values ^ (values >> np.uint64(31))) * _MIX
    return spread ^ (spread >> np.uint64(29))


class TextBatch:
    """Texts, in lower case.

    `kinds` has one number a character, `starts` where each text begins in it. `words` are hashes of 64 bits,
    `word_bounds` where the words of each text begin and, last, end.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        lowered = [text[:MAX_CHARACTERS].lower() for text in texts]
        whole = "\n".join((*lowered, ""))
        codes = np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), np.uint32)
        lengths = np.fromiter(map(len, lowered), np.int64, len(lowered))
        ends: Places = np.cumsum(lengths + 1, dtype=np.int64)
        self.starts: Places = ends - lengths - 1
        self.kinds = _kinds()[np.minimum(codes, _BEYOND)]
        self.seen: npt.NDArray[np.uint32] = np.bitwise_or.reduceat(self.kinds, self.starts)
        self.words, begin = self._words(codes)
        self.word_bounds: Places = np.searchsorted(begin, np.append(self.starts, len(codes)))

    def _words(self, codes: npt.NDArray[np.uint32]) -> tuple[Numbers, Places]:
        inside = (self.kinds & WORD) != 0
        alone = (self.kinds & SINGLE) != 0
        begins, ends = inside.copy(), inside.copy()
        begins[1:] &= ~inside[:-1]
        ends[:-1] &= ~inside[1:]
        begin, end = np.flatnonzero(begins | alone), np.flatnonzero(ends | alone) + 1
        size = _table_size(len(codes))
        weighted = codes * _powers(int(_STEP), size)[: len(codes)]
        sums = np.empty(len(codes) + 1, np.uint64)
        sums[0] = 0
        np.cumsum(weighted, out=sums[1:])
        hashes = (sums[end] - sums[begin]) * _powers(int(_UNDO), size)[begin]
        return mixed(hashes), begin

    def dense_digits(self, count: int, width: int) -> Places:
        """The texts in which `width` characters in a row have `count` digits or more; some may have fewer."""
        digits = np.cumsum((self.kinds & DIGIT) != 0, dtype=np.int32)
        reach = np.r_[digits[width:], np.full(min(width, len(digits)), digits[-1])]
        places = np.flatnonzero(reach - digits >= count - 1)
        return np.unique(np.searchsorted(self.starts, places, side="right") - 1)

    def script_counts(self, text: int) -> dict[str, int]:
        """How many letters of each script one text has."""
        end = self.starts[text + 1] if text + 1 < len(self.starts) else len(self.kinds)
        kinds = self.kinds[self.starts[text] : end]
        counts = {name: int(np.count_nonzero(kinds & bit)) for name, bit in SCRIPT_BITS.items()}
        return {name: count for name, count in counts.items() if count}


def _table_size(length: int) -> int:
    """Few sizes, so that few tables are made."""
    return 1 << max(17, (length - 1).bit_length())
