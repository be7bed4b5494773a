"""`ift data check`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ift_sagemaker.cli.data import source_options
from ift_sagemaker.cli.exits import BAD_INPUT
from ift_sagemaker.cli.options import as_json, parse_settings, print_json
from ift_sagemaker.cli.rows import (
    source_of,
    storage_options,
    template_of,
    template_option,
    tokenizer_of,
    tokenizer_option,
)
from ift_sagemaker.errors import ConfigError

if TYPE_CHECKING:
    from ift_sagemaker.data import DatasetReport
    from ift_sagemaker.data.checking.check import Check

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LONG_BYTES = 16 << 20


@click.command()
@click.argument("rows", type=click.Path(), nargs=-1, required=True)
@click.option("--for", "purpose", help="What rows are for; see `ift data targets`.")
@click.option(
    "--against", type=click.Path(), multiple=True, help="Rows that must not be among these, as a test set."
)
@click.option("--html", "page", type=click.Path(dir_okay=False), help="Write the report as a page, too.")
@click.option("--without", multiple=True, metavar="RULE", help="Leave a rule out; may be given again.")
@click.option("--memory", default="256MB", help="What may be in memory; the rest is in files.")
@template_option
@tokenizer_option
@source_options
@storage_options
@as_json
def check(
    rows: tuple[str, ...],
    against: tuple[str, ...],
    page: str | None,
    as_json: bool,  # noqa: FBT001
    **how: Any,
) -> None:
    """Every finding in files or folders of rows, and their figures. Exit 3 where rows cannot be used."""
    checking = _checking(how)
    found, held_out = ([source_of(address, how) for address in given] for given in (rows, against))
    with _rows_shown([*rows, *against]) as on_rows:
        report = replace(checking, on_rows=on_rows).report(found, held_out or None)
    _print(report, page, as_json=as_json)
    if report.error_count:
        click.get_current_context().exit(BAD_INPUT)


def _checking(how: Mapping[str, Any]) -> Check:
    from ift_sagemaker.data import ModelTokenizer, TokenCounter
    from ift_sagemaker.data.checking.check import Check
    from ift_sagemaker.data.checking.depth import Depth

    tokenizer = tokenizer_of(how["tokenizer"])
    counter = TokenCounter(ModelTokenizer(tokenizer)) if tokenizer else None
    return Check(
        target=how["purpose"],
        depth=Depth(frozenset(how["without"]), _bytes(how["memory"])),
        format=how["format_"],
        fields=parse_settings(how["fields"], "--field") or None,
        template=template_of(how["template"]),
        count_tokens=(lambda text: counter.count([text])[0]) if counter else None,
    )


def _print(report: DatasetReport, page: str | None, *, as_json: bool) -> None:
    if page is not None:
        from ift_sagemaker.report import dataset_page

        Path(page).write_text(dataset_page(report), "utf-8")
    if as_json:
        print_json(report.to_dict())
        return
    from ift_sagemaker.report import dataset_report

    click.echo(dataset_report(report), nl=False)


def _bytes(text: str) -> int:
    """`256MB`, `1G`, `300000` as a number of bytes."""
    found = re.fullmatch(r"(\d+) ?([KMG]?)i?B?", text.strip(), re.IGNORECASE)
    if not found:
        raise ConfigError(
            f"--memory {text!r}: write a number of bytes, as in 256MB", field="--memory", value=text
        )
    return int(found[1]) * _UNITS[found[2].upper()]


@contextmanager
def _rows_shown(paths: list[str]) -> Iterator[Callable[[int], None]]:
    """A callback for the number of rows read: shown on a terminal where there is much to read."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or sum(map(_size, paths)) < _LONG_BYTES:
        yield lambda _: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda rows: progress.update(task, completed=rows)


def _size(path: str) -> int:
    place = Path(path)
    files = place.iterdir() if place.is_dir() else [place]
    return sum(file.stat().st_size for file in files if file.is_file())
