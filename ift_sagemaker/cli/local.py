"""`ift local …`."""

from __future__ import annotations

from typing import Any

import click

from ift_sagemaker.cli.options import as_json, print_json


@click.command()
@as_json
def status(as_json: bool) -> None:  # noqa: FBT001
    """Where the local AWS keeps things, what runs, and how much disk it takes."""
    from ift_sagemaker import local

    found = local.status()
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        click.echo(f"{key:<20} {_plain(value)}")


def _plain(value: Any) -> str:
    """A list as its items, a mapping as `name (status)`, nothing as a dash."""
    if isinstance(value, dict):
        value = [f"{name} ({status})" for name, status in value.items()]
    return ", ".join(map(str, value)) or "-" if isinstance(value, list) else str(value)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:  # noqa: FBT001
    """Stop every job and endpoint of the local AWS and delete its state."""
    from ift_sagemaker import local

    if not yes:
        click.confirm(f"Delete everything under {local.local_root()}?", abort=True, err=True)
    local.reset()
