"""`ift data …`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ift_sagemaker.cli.options import as_json, parse_settings, print_json

F = TypeVar("F", bound=Callable[..., Any])


def source_options(command: F) -> F:
    """Adds --format and --field."""
    for option in (
        click.option("--field", "fields", multiple=True, metavar="NAME=COLUMN", help="As for `ift train`."),
        click.option("--format", "format_", help="How rows are written; default: as the first ones look."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("source", type=click.Path())
@click.argument("destination", type=click.Path())
@click.option("--to", required=True, help="The target; see `ift data targets`.")
@click.option("--template", type=click.Path(dir_okay=False), help="A JumpStart template.json for the rows.")
@source_options
@as_json
def convert(
    source: str,
    destination: str,
    to: str,
    template: str | None,
    format_: str | None,
    fields: tuple[str, ...],
    as_json: bool,  # noqa: FBT001
) -> None:
    """Write rows as the files that a tuning service takes, into a new folder DESTINATION.

    Exit 3, with nothing written, where a row is wrong or the target cannot hold it whole.
    """
    from ift_sagemaker import data
    from ift_sagemaker.wire.template import PromptTemplate

    done = data.convert(
        source,
        destination,
        to=to,
        format=format_,
        fields=parse_settings(fields, "--field") or None,
        template=PromptTemplate.from_json(Path(template).read_text("utf-8")) if template else None,
    )
    if as_json:
        print_json(done.to_dict())
        return
    for warning in done.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{done.rows} {done.format} rows -> {destination}: {', '.join(done.files)}")


@click.command()
@as_json
def targets(as_json: bool) -> None:  # noqa: FBT001
    """What `ift data convert --to` can write, from which rows, and how many."""
    from ift_sagemaker.data import TARGETS
    from ift_sagemaker.report import targets_table, to_text

    rows = [
        {
            "target": target.name,
            "what": target.title,
            "from": ", ".join(target.writers),
            "rows": f"{target.minimum} to {target.maximum or 'any number'}",
        }
        for target in TARGETS.values()
    ]
    if as_json:
        print_json(rows)
        return
    click.echo(to_text(targets_table(rows)), nl=False)
