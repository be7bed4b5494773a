"""`ift data …`."""

from __future__ import annotations

from dataclasses import asdict

import click

from ift_sagemaker.cli.options import as_json, parse_settings, print_json
from ift_sagemaker.errors import DatasetError


@click.command()
@click.argument("rows", type=click.Path(dir_okay=False))
@click.option("--field", "fields", multiple=True, metavar="NAME=COLUMN", help="As for `ift train`.")
@as_json
def check(rows: str, fields: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Every finding in a file of rows, and its figures. Exit 3 where rows cannot be used."""
    from ift_sagemaker.data import InstructionDataset

    try:
        report = InstructionDataset.read(rows, fields=parse_settings(fields, "--field") or None).check()
    except DatasetError as error:
        if as_json:
            print_json({"path": rows, "rows": 0, "findings": [asdict(finding) for finding in error.findings]})
        raise
    if as_json:
        print_json(report.to_dict())
        return
    from ift_sagemaker.report import dataset_report, to_text

    click.echo(to_text(dataset_report(report)), nl=False)
