"""`ift why`."""

from __future__ import annotations

from typing import Any

import click

from ift_sagemaker.cli.options import as_json, print_json, session_of, target_options


@click.command()
@click.argument("name")
@target_options
@as_json
def why(name: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Why a job or endpoint failed, stopped or waits, in plain words, and what to type next.

    NAME is a training job's or an endpoint's. Reads only; exit 0 where there is a diagnosis to read.
    """
    found = session_of(options).why(name)
    if as_json:
        print_json(found.to_dict())
        return
    click.echo(str(found))
