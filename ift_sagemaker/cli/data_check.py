"""`ift data check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ift_sagemaker.cli.exits import BAD_INPUT
from ift_sagemaker.cli.options import as_json, print_json, session_of
from ift_sagemaker.cli.rows import (
    bytes_of,
    memory_option,
    rows_options,
    seen_by,
    source_of,
    tokenizer_of,
    tokenizer_option,
)
from ift_sagemaker.cli.sharded import is_sharded, running_of, sharding_options
from ift_sagemaker.errors import StorageError

if TYPE_CHECKING:
    from ift_sagemaker.data import DatasetReport
    from ift_sagemaker.data.checking.check import Check


@click.command()
@click.argument("rows", type=click.Path(), nargs=-1, required=True)
@click.option("--for", "purpose", help="What rows are for; see `ift data targets`.")
@click.option(
    "--against", type=click.Path(), multiple=True, help="Rows that must not be among these, as a test set."
)
@click.option("--html", "page", type=click.Path(dir_okay=False), help="Write the report as a page, too.")
@click.option("--without", multiple=True, metavar="RULE", help="Leave a rule out; may be given again.")
@memory_option
@tokenizer_option
@rows_options
@sharding_options
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
    if is_sharded(how, [*rows, *against]):
        report = _in_jobs(checking, rows, against, how)
    else:
        report = _here(checking, rows, against, how)
    _print(report, page, as_json=as_json)
    if report.error_count:
        click.get_current_context().exit(BAD_INPUT)


def _here(
    checking: Check, rows: tuple[str, ...], against: tuple[str, ...], how: Mapping[str, Any]
) -> DatasetReport:
    from ift_sagemaker.data import Progress
    from ift_sagemaker.report.rows_bar import RowsBar

    found, held_out = ([source_of(address, how) for address in given] for given in (rows, against))
    with RowsBar("check") as bar:
        return replace(checking, on_rows=lambda rows: bar(Progress(rows, 0, None))).report(
            found, held_out or None
        )


def _in_jobs(
    checking: Check, rows: tuple[str, ...], against: tuple[str, ...], how: Mapping[str, Any]
) -> DatasetReport:
    from ift_sagemaker.processing import sharded

    return sharded.check(session_of(how), rows, checking, against=against, running=running_of(how))


def _checking(how: Mapping[str, Any]) -> Check:
    from ift_sagemaker.data import ModelTokenizer, TokenCounter
    from ift_sagemaker.data.checking.check import Check
    from ift_sagemaker.data.checking.depth import Depth

    tokenizer = tokenizer_of(how["tokenizer"])
    counter = TokenCounter(ModelTokenizer(tokenizer)) if tokenizer else None
    return Check(
        target=how["purpose"],
        depth=Depth(frozenset(how["without"]), bytes_of(how["memory"])),
        **seen_by(how),
        count_tokens=(lambda text: counter.count([text])[0]) if counter else None,
    )


def _print(report: DatasetReport, page: str | None, *, as_json: bool) -> None:
    if page is not None:
        from ift_sagemaker.report import dataset_page

        try:
            Path(page).write_text(dataset_page(report), "utf-8")
        except OSError as error:
            raise StorageError(f"{page} cannot be written: {error.strerror or error}", path=page) from error
    if as_json:
        print_json(report.to_dict())
        return
    from ift_sagemaker.report import dataset_report

    click.echo(dataset_report(report), nl=False)
