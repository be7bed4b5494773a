"""`ift data …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ift_sagemaker.cli.options import as_json, print_json
from ift_sagemaker.cli.rows import rows_options, seen_by, source_of
from ift_sagemaker.errors import ConfigError


@click.command()
@click.argument("source", type=click.Path())
@click.argument("destination", type=click.Path())
@click.option("--to", required=True, help="The target; see `ift data targets`.")
@click.option("--labels", type=click.Path(dir_okay=False, exists=True), help="JSON: a number for each label.")
@click.option("--images-at", metavar="S3_URI", help="Where the written images will lie in S3.")
@rows_options
@as_json
def convert(
    source: str,
    destination: str,
    to: str,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Write rows as the files that a tuning service takes, into a new folder DESTINATION.

    Exit 3, with nothing written, where a row is wrong or the target cannot hold it whole.
    """
    from ift_sagemaker import data

    done = data.convert(
        source_of(source, options),
        destination,
        to=to,
        **seen_by(options),
        labels=_labels(options["labels"]),
        images_at=options["images_at"],
    )
    if as_json:
        print_json(done.to_dict())
        return
    for warning in done.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{done.rows} {done.format} rows -> {destination}: {', '.join(done.files)}")


def _labels(path: str | None) -> Any:
    if path is None:
        return None
    from ift_sagemaker.data.reading.lines import strict_loads

    try:
        values = strict_loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}", field="labels", value=path) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no object of labels and numbers", field="labels", value=path)
    return values


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
