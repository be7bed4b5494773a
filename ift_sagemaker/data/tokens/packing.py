"""How many sequences of one length rows pack into."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Packing:
    """Rows in sequences of `max_length` tokens, whole rows only.

    `padding` is the share of the packed sequences that no row fills, `unpacked_padding` that of one row a
    sequence. Rows over the length are in neither: `over_long` of them, the first ones by their `lines`.
    From a sample, the counts are scaled to all rows; the lines are those of the sample.
    """

    max_length: int
    sequences: int
    padding: float
    unpacked_padding: float
    over_long: int
    over_long_lines: tuple[int, ...]


def pack(lengths: Iterable[int], capacity: int) -> int:
    """Sequences of `capacity` that rows of these lengths fit into: best fit, the longest first.

    That is at most 11/9 of the fewest possible, and 1 more. Lengths over the capacity are left out.
    """
    counts = [0] * (capacity + 1)
    for length in lengths:
        if 0 < length <= capacity:
            counts[length] += 1
    opened = [0] * (capacity + 1)
    """How many sequences have so many tokens left."""
    left = 0  # bit n is set where opened[n] is not 0, so that the tightest fit is found in one step
    sequences = 0
    for length in range(capacity, 0, -1):
        for _ in range(counts[length]):
            fitting = left >> length
            if fitting:
                room = length + (fitting & -fitting).bit_length() - 1
                opened[room] -= 1
                if not opened[room]:
                    left ^= 1 << room
            else:
                room = capacity
                sequences += 1
            rest = room - length
            if rest:
                opened[rest] += 1
                left |= 1 << rest
    return sequences
