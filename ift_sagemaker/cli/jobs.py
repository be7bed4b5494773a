"""`ift jobs …`."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import click

from ift_sagemaker.cli.options import as_json, print_json, session_of, target_options, wait_timeout


@click.command("list")
@target_options
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@as_json
def list_jobs(limit: int, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Jobs this library made, newest first."""
    found = list(islice(session_of(options).training_jobs(), limit))
    if as_json:
        print_json(found)
        return
    from ift_sagemaker.report import jobs_table, to_text

    click.echo(to_text(jobs_table(found)), nl=False)


@click.command()
@click.argument("job")
@target_options
def show(job: str, **options: Any) -> None:
    """One job as SageMaker describes it, what really ran and what it has cost, as JSON."""
    handle = session_of(options).training_job(job)
    print_json({**handle.description, "Executed": handle.executed, "Cost": handle.cost().to_dict()})


@click.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Until the job has ended.")
@target_options
def logs(job: str, follow: bool, **options: Any) -> None:  # noqa: FBT001
    """A job's log."""
    for line in session_of(options).training_job(job).logs(follow=follow):
        click.echo(line.message)


@click.command()
@click.argument("job")
@click.option("--json", "as_json_rows", is_flag=True, help="JSON instead of CSV.")
@target_options
def metrics(job: str, as_json_rows: bool, **options: Any) -> None:  # noqa: FBT001
    """A job's metrics, one row a step, as CSV."""
    frame = session_of(options).training_job(job).metrics()
    if as_json_rows:
        print_json(json.loads(frame.to_json(orient="records", date_format="iso")))
    else:
        click.echo(frame.to_csv(index=False), nl=False)


@click.command()
@click.argument("job")
@wait_timeout
@target_options
def wait(job: str, timeout: float | None, **options: Any) -> None:
    """Wait for a job to end; exit 0 only when it is Completed. Prints its status."""
    from ift_sagemaker.report.progress import watching

    handle = session_of(options).training_job(job)
    try:
        with watching(job) as on_progress:
            handle.wait(timeout, on_progress)
    finally:
        click.echo(handle.status)


@click.command()
@click.argument("job")
@target_options
def stop(job: str, **options: Any) -> None:
    """Ask a job to stop; it has 120 seconds to save what it has. Prints its status."""
    click.echo(session_of(options).training_job(job).stop().status)


@click.command()
@click.argument("job")
@click.argument("folder", type=click.Path(file_okay=False))
@target_options
def download(job: str, folder: str, **options: Any) -> None:
    """Unpack a job's model into FOLDER, which must be empty or absent. Prints the folder."""
    click.echo(str(session_of(options).training_job(job).download(folder)))
