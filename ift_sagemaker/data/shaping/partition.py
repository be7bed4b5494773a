"""`split_rows` and `dedupe_rows`: streamed, over rows of any number."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Literal, Unpack

import orjson

from ift_sagemaker.data.reading.sources import Source
from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.data.shaping.parting import Parting
from ift_sagemaker.data.shaping.repeats import EQUAL, KEPT, NEAR, Repeats
from ift_sagemaker.data.shaping.sight import Sight
from ift_sagemaker.data.shaping.split import check_shares
from ift_sagemaker.data.shaping.work import Destination, Reading, Seeing, Shaped, Work
from ift_sagemaker.data.writing.desk import Desk, place_of
from ift_sagemaker.data.writing.rowfile import compression_of, lines_to
from ift_sagemaker.errors import ConfigError

By = Literal["example", "prompt", "row"]
BY: tuple[By, ...] = ("example", "prompt", "row")
COMPRESSIONS = ("", "gz", "zst")


def split_rows(
    source: Source,
    destination: Destination,
    *,
    test_size: float = 0.1,
    validation_size: float | None = None,
    seed: int = 0,
    stratify: str | None = None,
    near: bool = True,
    compression: str = "",
    **seeing: Unpack[Seeing],
) -> Shaped:
    """Parts the rows of a file or folder into `train.jsonl`, `test.jsonl` and, if asked, `validation.jsonl`.

    They stand in the new folder `destination`, each in the order of the source, with `.gz` or `.zst` behind
    the names where `compression` is `gz` or `zst`. Rows of equal prompts are on one side, with `near` also
    those of prompts nearly the same: of the three-word sequences of both at least 80 % are in both. (They are
    found with a probability over 0.999; of more than 64 that look alike at once each is compared with 16.)
    Sizes are shares of rows, met as nearly from below as whole groups allow. With `stratify`, a field (dotted
    path) or `label` (that field, or else the answer), each part has its share of each value; a group of
    several values counts as the most frequent one. Without `near`, rows, seed and size give the parts that
    `InstructionDataset.split` gives. Neither the order of rows nor `memory_bytes` changes who goes where.

    Raises DatasetError with every finding, ConfigError for shares that leave no train rows, for fewer
    different prompts than parts and for a destination that is there.
    """
    shares = check_shares(test_size, validation_size)
    work = Work(**seeing)
    if compression not in COMPRESSIONS:
        raise ConfigError(
            f"no compression {compression!r}; there are gz and zst",
            field="compression",
            value=compression,
            allowed="gz, zst",
        )
    suffix = f".jsonl.{compression}" if compression else ".jsonl"
    names = [f"{part}{suffix}" for part in ("train", "test", "validation")[: len(shares) + 1]]
    reading = Reading(source, work)
    with Desk(place_of(destination)) as desk:
        parting = Parting(desk.folder, work.memory_bytes, seed=seed, near=near)
        with closing(parting):
            with lines_to(desk.folder / "rows", "") as write:
                for seen in Sight(reading, work, stratify=stratify):
                    parting.add([prompt for prompt, _ in seen.pairs], seen.stratum, has_words=seen.has_words)
                    write(seen.line)
            sides = parting.sides(shares)
        desk.made.mkdir()
        counts = _deal(desk, sides, [desk.made / name for name in names])
    files = {name: counts[side] for side, name in enumerate(names)}
    strata = {
        value: {names[side].partition(".")[0]: count for side, count in by_side.items()}
        for value, by_side in parting.strata(sides).items()
    }
    written = sum(files.values())
    told = {"groups": parting.groups}
    return Shaped("split", (str(source),), str(destination), reading.rows, written, files, seed, told, strata)


def dedupe_rows(
    source: Source,
    destination: Destination,
    *,
    near: bool = False,
    by: By = "example",
    **seeing: Unpack[Seeing],
) -> Shaped:
    """Writes the rows of a file or folder without repetitions, in their order, to `destination`.

    Of equal rows the first is kept. `by` says what is compared: `example` prompt and answer together,
    `prompt` the prompt alone, `row` every field, whatever the format. With `near`, a row also goes where what
    is compared is nearly the same, as `split_rows` has it, as in a row that is kept: every row that goes has
    one that stays. The name of `destination` ends in .jsonl, .jsonl.gz or .jsonl.zst.

    Raises DatasetError with every finding, ConfigError for a wrong setting or a destination that is there.
    """
    check_by(by)
    place = place_of(destination)
    compression = compression_of(place)
    work = Work(**seeing)
    reading = Reading(source, work)
    with Desk(place) as desk:
        repeats = Repeats(desk.folder, work.memory_bytes, near=near)
        with closing(repeats):
            with lines_to(desk.folder / "rows", "") as write:
                for line, key, text in _told_apart(reading, work, by):
                    repeats.add(key, text)
                    write(line)
            fates = repeats.fates()
        with lines_to(desk.made, compression) as write:
            for line, fate in zip(_lines(desk), fates, strict=True):
                if fate == KEPT:
                    write(line)
    counts = Counter(fates)
    dropped = {"duplicates": counts[EQUAL]} | ({"near_duplicates": counts[NEAR]} if near else {})
    written = counts[KEPT]
    return Shaped(
        "dedupe", (str(source),), str(place), reading.rows, written, {place.name: written}, None, dropped
    )


def _told_apart(reading: Reading, work: Work, by: By) -> Iterator[tuple[bytes, bytes, str]]:
    """(line, key, text) of each row: rows of one key are equal, near ones have texts alike."""
    if by == "row":
        for _, row, line in reading:
            yield line, *compared(row, [], by)
        return
    for seen in Sight(reading, work):
        key, text = compared(seen.row, seen.pairs, by)
        yield seen.line, key, text if seen.has_words else ""


def compared(row: Row, pairs: Iterable[tuple[str, str]], by: By) -> tuple[bytes, str]:
    """(key, text) of a row with its prompts and answers: equal rows have one key, near ones texts alike."""
    check_by(by)
    if by == "row":
        return _row_key(row), " ".join(_texts_in(row)).encode("utf-8", "replace").decode()
    parts = [prompt if by == "prompt" else f"{prompt}\0{answer}" for prompt, answer in pairs]
    return "\0\0".join(parts).encode(), "\n".join(parts)


def check_by(by: str) -> None:
    """Raises ConfigError for anything that rows are not compared by."""
    if by not in BY:
        raise ConfigError(
            f"rows are compared by {', '.join(BY)}, not by {by!r}",
            field="by",
            value=by,
            allowed=", ".join(BY),
        )


def _row_key(row: Row) -> bytes:
    try:
        return orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(row, sort_keys=True).encode()


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(item)


def _lines(desk: Desk) -> Iterator[bytes]:
    with (desk.folder / "rows").open("rb", buffering=1 << 18) as file:
        yield from file


def _deal(desk: Desk, sides: Iterable[int], paths: list[Path]) -> Counter[int]:
    """Writes each line to the file of its side; rows by side."""
    counts: Counter[int] = Counter()
    with ExitStack() as stack:
        compression = paths[0].suffix.removeprefix(".jsonl")
        writers: list[Callable[[bytes], object]] = [
            stack.enter_context(lines_to(path, compression)) for path in paths
        ]
        for line, side in zip(_lines(desk), sides, strict=True):
            writers[side](line)
            counts[side] += 1
    return counts
