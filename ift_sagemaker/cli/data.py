"""`ift data …`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ift_sagemaker.cli.options import as_json, print_json, session_of
from ift_sagemaker.cli.rows import rows_options, seen_by, source_of
from ift_sagemaker.cli.sharded import REMOTE, is_sharded, running_of, sharding_options
from ift_sagemaker.errors import ConfigError

if TYPE_CHECKING:
    from ift_sagemaker.data import Conversion
    from ift_sagemaker.processing.sharded import ConvertedData


@click.command()
@click.argument("source", type=click.Path())
@click.argument("destination", type=click.Path())
@click.option("--to", required=True, help="The target; see `ift data targets`.")
@click.option("--labels", type=click.Path(dir_okay=False, exists=True), help="JSON: a number for each label.")
@click.option("--images-at", metavar="S3_URI", help="Where the written images will lie in S3.")
@rows_options
@sharding_options
@as_json
def convert(
    source: str,
    destination: str,
    to: str,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Write rows as the files that a tuning service takes, into a new folder DESTINATION.

    With --on sagemaker both are in S3, and the rows are written in parts, with a manifest beside them.
    Exit 3, with nothing written, where a row is wrong or the target cannot hold it whole.
    """
    if is_sharded(options, [source, destination]):
        converted = _in_jobs(source, destination, to, options)
        done, shown = converted.conversion, converted.to_dict()
    else:
        done = _here(source, destination, to, options)
        shown = done.to_dict()
    if as_json:
        print_json(shown)
        return
    for warning in done.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{done.rows} {done.format} rows -> {destination}: {', '.join(done.files)}")


def _here(source: str, destination: str, to: str, options: Mapping[str, Any]) -> Conversion:
    from ift_sagemaker import data

    if destination.startswith(REMOTE):
        raise ConfigError(
            f"{destination} is in S3, where processing jobs write: --on sagemaker, or a folder and then "
            "`ift data upload`",
            field="destination",
            value=destination,
        )
    return data.convert(
        source_of(source, options),
        destination,
        to=to,
        **seen_by(options),
        labels=_labels(options["labels"]),
        images_at=options["images_at"],
    )


def _in_jobs(source: str, destination: str, to: str, options: Mapping[str, Any]) -> ConvertedData:
    from ift_sagemaker.processing import sharded

    for name in ("labels", "images_at"):
        if options[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} is for targets that --on does not write")
    return sharded.convert(
        session_of(options),
        source,
        destination,
        to=to,
        **seen_by(options),
        running=running_of(options),
    )


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
