"""`--on sagemaker`: the options of commands that processing jobs can do, and how such jobs are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ift_sagemaker.cli.options import wait_timeout
from ift_sagemaker.errors import ConfigError

if TYPE_CHECKING:
    from ift_sagemaker.processing.job import ProcessingJob
    from ift_sagemaker.processing.sharded import Running

F = TypeVar("F", bound=Callable[..., Any])
REMOTE = "s3://"

_FLEET = ("instances", "instance_type", "volume_size_in_gb", "max_runtime_in_seconds", "image")
_ALONE = (*_FLEET, "role", "bucket", "retry", "timeout")
"""Options that mean something with `--on` alone."""


def sharding_options(command: F) -> F:
    """Adds --on and what says on which instances and how."""
    for option in (
        click.option("--retry", is_flag=True, help="With --on: start a job that failed again."),
        wait_timeout,
        click.option("--bucket", help="With --on: bucket for what jobs leave; as for `ift train`."),
        click.option("--role", help="With --on: execution role; as for `ift train`."),
        click.option("--image", help="With --on: an image of your own; see how-to/check-your-data."),
        click.option("--max-runtime", "max_runtime_in_seconds", type=click.IntRange(60), help="With --on."),
        click.option("--volume-gb", "volume_size_in_gb", type=click.IntRange(1), help="With --on, of each."),
        click.option("--instance-type", help="With --on; default ml.m5.xlarge."),
        click.option("--instances", type=click.IntRange(1), help="With --on: objects are dealt out to them."),
        click.option("--on", type=click.Choice(["sagemaker"]), help="Do it in processing jobs (billed)."),
    ):
        command = option(command)
    return command


def is_sharded(options: Mapping[str, Any], addresses: Sequence[str]) -> bool:
    """Whether processing jobs are to do it; refuses options without `--on`, and with it rows not in S3."""
    if options["on"] is None:
        for name in _ALONE:
            if options[name]:
                raise click.UsageError(f"--{name.split('_in_')[0].replace('_', '-')} needs --on sagemaker")
        return False
    for address in addresses:
        if not address.startswith(REMOTE):
            raise ConfigError(
                f"{address} is not in S3, where processing jobs read: `ift data upload` puts it there",
                field="rows",
                value=address,
                allowed="s3://bucket/prefix",
            )
    return True


def running_of(options: Mapping[str, Any]) -> Running:
    """How the jobs run, with their progress on stderr."""
    from ift_sagemaker.plan.processing import Fleet
    from ift_sagemaker.processing.sharded import Running

    fleet = {name: options[name] for name in _FLEET if options[name] is not None}
    return Running(Fleet(**fleet), options["retry"], options["timeout"], _watching)


@contextmanager
def _watching(job: ProcessingJob) -> Iterator[Callable[[Any], None]]:
    from ift_sagemaker.report.progress import watching

    click.echo(f"{'attached to' if job.attached else 'started'} {job.name}", err=True)
    with watching(job.name) as on_progress:
        yield on_progress
