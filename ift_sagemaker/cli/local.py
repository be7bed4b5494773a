"""`ift local …`."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from ift_sagemaker.cli.options import as_json, print_json

if TYPE_CHECKING:
    from ift_sagemaker.local.door.server import Served


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
    """A list as its items, a mapping as `name (what)`, nothing as a dash."""
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


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4620,
    show_default=True,
    help="Port on 127.0.0.1; 0 for any free one.",
)
@as_json
def serve(port: int, as_json: bool) -> None:  # noqa: FBT001
    """Answer other programs' AWS calls on 127.0.0.1 until interrupted.

    Prints the environment that points boto3, the AWS CLI and others here; with --json one line of it, once
    it listens. Jobs and endpoints go on when it ends.
    """
    from ift_sagemaker.local.door.server import serve_alone
    from ift_sagemaker.local.state.settings import LocalSettings

    def tell(served: Served) -> None:
        click.echo(_told(served) if as_json else _exports(served))
        note = f"serving {served.root} at {served.url}; Ctrl-C ends it, jobs and endpoints go on"
        click.echo(note, err=True)

    serve_alone(LocalSettings.from_environment(), port, tell)


def _told(served: Served) -> str:
    told = {"url": served.url, "pid": os.getpid(), "root": str(served.root)}
    return json.dumps({**told, "environment": dict(served.environment)})


def _exports(served: Served) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in served.environment.items())
