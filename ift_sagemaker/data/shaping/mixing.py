"""`mix_rows`: several sources in one file, in proportion."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Literal, TypeVar, Unpack

from ift_sagemaker.data.reading.sources import Source
from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.data.shaping.work import Destination, Limits, Progress, Reading, Shaped, Work
from ift_sagemaker.data.writing.desk import Desk, place_of
from ift_sagemaker.data.writing.rowfile import compression_of, lines_to
from ift_sagemaker.errors import ConfigError

Until = Literal["first", "all"]
P = TypeVar("P", bound=Source)
UNTIL: tuple[Until, ...] = ("first", "all")
_PROGRESS_ROWS = 5_000
_Lines = Generator[tuple[int, Row, bytes], None, None]


def mix_rows(
    sources: Mapping[P, float],
    destination: Destination,
    *,
    until: Until = "first",
    seed: int = 0,
    **limits: Unpack[Limits],
) -> Shaped:
    """Writes rows of several files or folders to the file `destination`, each source in its own order.

    `sources` has a weight for each, over 0; only their proportions count. Which source is next is random, in
    proportion to how far each is behind its share: after any number of rows none is a row or more above its
    share, nor as many rows below it as there are other sources. The end comes with the last row of any source
    (`until="first"`: no row twice; what is left of the others is neither written nor checked), or when every
    source has come to its end (`until="all"`: the shorter ones begin again). Only one row of each is held.

    Raises DatasetError with every finding of a source, ConfigError for fewer than two sources, a weight that
    is no number over 0, an unknown `until` or a destination that is there. `counts` are rows by source.
    """
    _check(sources, until)
    place = place_of(destination)
    compression = compression_of(place)
    work = Work(**limits)
    written = 0
    with Desk(place) as desk, lines_to(desk.made, compression) as write:
        taps = [_Tap(source) for source in sources]
        for chosen in order(list(sources.values()), seed):
            write(taps[chosen].draw())
            written += 1
            if work.on_progress is not None and written % _PROGRESS_ROWS == 0:
                work.on_progress(Progress(written, 0, None))
            ended = [tap.times > 0 for tap in taps]
            if any(ended) if until == "first" else all(ended):
                break
        for tap in taps:
            tap.close()
    counts = {str(source): tap.taken for source, tap in zip(sources, taps, strict=True)}
    return Shaped("mix", tuple(counts), str(place), written, written, {place.name: written}, seed, counts)


def order(weights: Sequence[float], seed: int) -> Iterator[int]:
    """The places of the sources in the order in which they are drawn from, without end."""
    chance = random.Random(f"mix\0{seed}")  # noqa: S311 - chance that can be repeated is what is wanted
    whole = math.fsum(weights)
    shares = [weight / whole for weight in weights]
    taken = [0] * len(shares)
    count = 0
    while True:
        count += 1
        behind = [max(0.0, count * share - had) for share, had in zip(shares, taken, strict=True)]
        (chosen,) = chance.choices(range(len(shares)), behind)
        taken[chosen] += 1
        yield chosen


class _Tap:
    """A source from which one row after another is drawn, from the start again after the last."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._reading, self._rows, self._next = _begun(source)
        self.taken = 0
        self.times = 0
        """How often the last row was drawn."""

    def draw(self) -> bytes:
        """The next row's line."""
        line = self._next
        self.taken += 1
        following = next(self._rows, None)
        if following is None:
            self._reading.finish()
            self.times += 1
            self._reading, self._rows, self._next = _begun(self._source)
        else:
            self._next = following[2]
        return line

    def close(self) -> None:
        """Raises DatasetError where a row that was passed over is wrong."""
        self._rows.close()
        self._reading.finish()


def _begun(source: Source) -> tuple[Reading, _Lines, bytes]:
    reading = Reading(source, Work())
    rows = reading.each()
    first = next(rows, None)
    if first is None:
        reading.finish()
        raise AssertionError("a source without rows has a finding")
    return reading, rows, first[2]


def _check(sources: Mapping[P, float], until: str) -> None:
    if until not in UNTIL:
        raise ConfigError(
            f"a mixture ends with {' or '.join(UNTIL)}, not {until!r}",
            field="until",
            value=until,
            allowed=", ".join(UNTIL),
        )
    if len(sources) < 2:
        raise ConfigError("a mixture has two sources or more", field="sources", allowed="2 or more")
    for source, weight in sources.items():
        if not (math.isfinite(weight) and weight > 0):
            raise ConfigError(
                f"the weight of {source!s} is {weight!r}: a weight is a number over 0",
                field="sources",
                value=weight,
                allowed="over 0",
            )
