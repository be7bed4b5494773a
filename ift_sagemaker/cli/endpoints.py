"""`ift deploy`, `ift invoke` and `ift endpoints …`."""

from __future__ import annotations

import sys
from typing import Any

import click

from ift_sagemaker.cli.options import as_json, print_json, session_of, target_options
from ift_sagemaker.errors import JobError


@click.command()
@click.argument("job")
@click.option("--endpoint-name", help="Default: the job's name.")
@click.option("--instance-type", help="SageMaker instance type; default ml.g5.xlarge.")
@click.option("--allow-unfinished", is_flag=True, help="Serve what a stopped job left.")
@click.option("--dry-run", is_flag=True, help="Print the exact requests as JSON; create nothing.")
@click.option("--wait", is_flag=True, help="Wait until the endpoint is InService.")
@target_options
def deploy(
    job: str,
    endpoint_name: str | None,
    instance_type: str | None,
    allow_unfinished: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    wait: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Serve a job's model and print the endpoint's name alone. It is billed until it is deleted."""
    from ift_sagemaker.report.progress import endpoint_watching

    handle = session_of(options).training_job(job)
    asked: dict[str, Any] = {"endpoint_name": endpoint_name, "allow_unfinished": allow_unfinished}
    if instance_type:
        asked["instance_type"] = instance_type
    if dry_run:
        print_json(handle.plan_deployment(**asked).to_dict())
        return
    endpoint = handle.deploy(**asked, wait=False)
    if handle.stand_in:
        click.echo(handle.stand_in, err=True)
    click.echo(endpoint.name)
    if wait:
        with endpoint_watching(endpoint.name) as on_status:
            endpoint.wait(on_status=on_status)


@click.command()
@click.argument("endpoint")
@click.argument("prompt", required=False)
@click.option("--max-tokens", type=click.IntRange(min=1), default=256, show_default=True)
@click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True)
@click.option("--stream", is_flag=True, help="Print the answer while it is made.")
@as_json
@target_options
def invoke(
    endpoint: str,
    prompt: str | None,
    max_tokens: int,
    temperature: float,
    stream: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Ask an endpoint; PROMPT may also come on stdin. Prints the answer."""
    if stream and as_json:
        raise click.UsageError("--stream and --json exclude each other")
    text = sys.stdin.read() if prompt is None else prompt
    handle = session_of(options).endpoint(endpoint)
    if stream:
        for piece in handle.stream(text, max_tokens=max_tokens, temperature=temperature):
            click.echo(piece, nl=False)
            sys.stdout.flush()
        click.echo()
        return
    answer = handle.invoke(text, max_tokens=max_tokens, temperature=temperature)
    if as_json:
        print_json(vars(answer))
    else:
        click.echo(answer.text)


@click.command("list")
@target_options
@as_json
def list_endpoints(as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Endpoints this library made."""
    found = list(session_of(options).endpoints())
    if as_json:
        print_json(found)
        return
    from ift_sagemaker.report import endpoints_table, to_text

    click.echo(to_text(endpoints_table(found)), nl=False)


@click.command()
@click.argument("endpoint")
@target_options
def show(endpoint: str, **options: Any) -> None:
    """One endpoint as SageMaker describes it, as JSON."""
    print_json(session_of(options).endpoint(endpoint).description)


@click.command()
@click.argument("endpoint")
@target_options
def logs(endpoint: str, **options: Any) -> None:
    """An endpoint's log."""
    for line in session_of(options).endpoint(endpoint).logs():
        click.echo(line.message)


@click.command()
@click.argument("endpoint")
@target_options
def delete(endpoint: str, **options: Any) -> None:
    """Delete endpoint, configuration and model; one that is gone already is success."""
    from ift_sagemaker.endpoint import Endpoint

    session = session_of(options)
    outcome = Endpoint(endpoint, session.client, session.patience).delete()
    for name in outcome.deleted:
        click.echo(f"deleted {name}")
    if not outcome.deleted and not outcome.survivors:
        click.echo(f"nothing to delete: there is no endpoint {endpoint}, and nothing behind it", err=True)
    if outcome.survivors:
        what = "; ".join(f"{name}: {reason}" for name, reason in outcome.survivors)
        raise JobError(f"not deleted, and may still be billed: {what}", name=endpoint, status="")
