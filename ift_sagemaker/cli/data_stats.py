"""`ift data stats`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ift_sagemaker.cli.options import as_json, print_json
from ift_sagemaker.cli.rows import read_rows, rows_options, tokenizer_of, tokenizer_option

if TYPE_CHECKING:
    from ift_sagemaker.data.tokens.packing import Packing
    from ift_sagemaker.data.tokens.statistics import DatasetStats

_BAR = 40
_SHOWN_LINES = 10


@click.command()
@click.argument("source", type=click.Path())
@tokenizer_option
@click.option(
    "--max-length", type=click.IntRange(min=1), help="Tokens a sequence; default: max_input_length's."
)
@click.option("--exact", is_flag=True, help="Count every row instead of a sample of 2,000.")
@rows_options
@as_json
def stats(source: str, max_length: int | None, exact: bool, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Rows, columns, characters and tokens, how they pack, and which rows are over-long.

    Tokens are counted by --tokenizer, in a sample with an error bar unless --exact; without a tokenizer they
    are estimated from characters, as `ift plan` does.
    """
    from ift_sagemaker.data.dataset import DEFAULT_LENGTH

    data = read_rows(source, options)
    tokenizer = tokenizer_of(options["tokenizer"])
    figures = data.stats(tokenizer, max_length=max_length or DEFAULT_LENGTH, exact=exact)
    if as_json:
        print_json(figures.to_dict())
        return
    click.echo("\n".join(_lines(figures)))


def _lines(stats: DatasetStats) -> list[str]:
    tokens = stats.tokens
    about = "about " if tokens.counted < stats.rows or tokens.error is None else ""
    bar = f" ± {tokens.error:,}" if tokens.error else ""
    if tokens.error is None:
        bar = f", {tokens.low:,} to {tokens.high:,}"
    of = f", {tokens.counted:,} of {stats.rows:,} rows counted" if tokens.counted < stats.rows else ""
    columns = (f"{name} ({count:,})" for name, count in stats.columns.items())
    spread = f"mean {tokens.mean}, median {tokens.median}, 95 % within {tokens.p95}, longest {tokens.maximum}"
    return [
        f"{stats.path}: {stats.rows:,} rows, format {stats.format}",
        f"  columns (rows that fill them): {', '.join(columns)}",
        f"  characters: {stats.characters:,}",
        f"  tokens: {about}{tokens.total:,}{bar} ({tokens.by}{of})",
        f"  tokens of a row: {spread}",
        *_bars(tokens.histogram),
        *_packed(tokens.packing, about),
    ]


def _packed(packing: Packing, about: str) -> list[str]:
    packed = f"{about}{packing.sequences:,} when packed, {packing.padding:.1%} padding"
    alone = f"one row each: {packing.unpacked_padding:.1%} padding"
    over = "none"
    if packing.over_long:
        lines = packing.over_long_lines
        more = " …" if packing.over_long > min(len(lines), _SHOWN_LINES) else ""
        shown = ", ".join(map(str, lines[:_SHOWN_LINES]))
        over = f"{about}{packing.over_long:,} rows (lines {shown}{more})"
    return [
        f"  sequences of {packing.max_length}: {packed}; {alone}",
        f"  over {packing.max_length} tokens: {over}",
    ]


def _bars(histogram: tuple[tuple[int, int, int], ...]) -> list[str]:
    first = next(place for place, (_, _, count) in enumerate(histogram) if count)
    histogram = histogram[first:]  # no bars for lengths that no row is as short as
    most = max(count for _, _, count in histogram)
    width = len(str(histogram[-1][1]))
    return [
        f"    {start:>{width}} to {end - 1:>{width}} {'#' * -(-count * _BAR // most)} {count}"
        for start, end, count in histogram
    ]
