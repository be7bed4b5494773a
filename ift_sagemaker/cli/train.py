"""`ift plan` and `ift train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ift_sagemaker.cli.options import (
    as_json,
    parse_settings,
    print_json,
    session_of,
    target_options,
    wait_timeout,
)
from ift_sagemaker.cli.rows import template_of, template_option
from ift_sagemaker.errors import UnsupportedError

if TYPE_CHECKING:
    from ift_sagemaker.data import InstructionDataset
    from ift_sagemaker.plan.calls import RoutePlan
    from ift_sagemaker.plan.plans import JobPlan
    from ift_sagemaker.session import Session

_arguments = (
    click.argument("model"),
    click.argument("rows", type=click.Path()),
    click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A hyperparameter; repeatable."
    ),
    click.option("--validation", type=click.Path(), help="Held-out rows for eval_loss."),
    click.option("--instance-type", help="SageMaker instance type; default ml.g5.xlarge."),
    click.option(
        "--alternative",
        "alternatives",
        multiple=True,
        metavar="TYPE",
        help="A further type, tried where AWS has none of those before; repeatable, in order.",
    ),
    click.option(
        "--max-usd-per-hour",
        type=click.FloatRange(min=0, min_open=True),
        metavar="USD",
        help="Refuse types that are dearer, or whose price is not known.",
    ),
    click.option("--max-runtime", type=int, help="Longest run in seconds; default four hours."),
    click.option(
        "--max-cost",
        type=click.FloatRange(min=0, min_open=True),
        metavar="USD",
        help="Refuse a run that is likely to cost more, and end it before it does.",
    ),
    click.option("--spot", is_flag=True, help="Managed spot training."),
    click.option(
        "--field",
        "fields",
        multiple=True,
        metavar="NAME=COLUMN",
        help="Which column holds instruction, input, output or messages; repeatable.",
    ),
    template_option,
)


def _run_options(command: Any) -> Any:
    for option in reversed(_arguments):
        command = option(command)
    return target_options(command)


@click.command()
@_run_options
@click.option("--route", help="One of the model's routes; default: its first that takes jobs today.")
@click.option("--technique", default="SFT", show_default=True, help="Recipes and Bedrock: how it is tuned.")
@click.option("--full", is_flag=True, help="Recipes: tune all weights instead of adapters.")
@click.option("--accept-eula", is_flag=True, help="You accept the licence of a gated model.")
@click.option("--exact", is_flag=True, help="Count the tokens of every row instead of a sample of 1,000.")
@click.option("--offers", is_flag=True, help="Instance types for this run instead of its request.")
@as_json
def plan(exact: bool, offers: bool, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Show what a fine-tuning run would send, ask and cost. Writes and sends nothing.

    ROWS is a file or folder of rows; for models of pictures a folder of them with dataset_info.json.
    """
    from ift_sagemaker.plan.spec import Customization, parse

    asked = {name: options[name] for name in ("route", "technique", "full", "accept_eula")}
    session = session_of(options)
    rows = _rows(session, options) if options["fields"] or options["template"] else options["rows"]
    planned = session.plan(
        options["model"],
        rows,
        customization=parse(Customization, asked),
        tokens="exact" if exact else None,
        **_run(session, options),
    )
    if offers:
        _print_offers(session, planned, as_json=as_json)
        return
    if as_json:
        print_json(planned.to_dict())
        return
    click.echo(planned.summary)
    if planned.estimate is not None:
        from ift_sagemaker.report import estimate_table, to_text

        click.echo(to_text(estimate_table(planned.estimate)), nl=False)
    click.echo(planned.details)


def _print_offers(session: Session, planned: JobPlan | RoutePlan, *, as_json: bool) -> None:
    if planned.estimate is None:
        raise UnsupportedError(
            "instance types are offered by the estimate of a run, and there is none for a run by another "
            "route than container",
            feature="--offers for routes other than container",
        )
    found = session.offers(planned.estimate)
    if as_json:
        print_json([offer.to_dict() for offer in found])
        return
    from ift_sagemaker.report import offers_table, to_text

    click.echo(to_text(offers_table(found)), nl=False)


@click.command()
@_run_options
@click.option("--wait", is_flag=True, help="Wait until the job has ended, with progress on stderr.")
@wait_timeout
@click.option("--retry", is_flag=True, help="Start again a run that failed or was stopped.")
@click.option("--route", help="One of the model's routes; default: its first that takes jobs today.")
@click.option("--accept-eula", is_flag=True, help="You accept the licence of a gated model.")
@click.option(
    "--stand-in",
    metavar="FOLDER|MODEL",
    help="Target local: weights trained in place of a JumpStart model's, which only AWS has.",
)
def train(
    wait: bool,  # noqa: FBT001
    timeout: float | None,
    retry: bool,  # noqa: FBT001
    stand_in: str | None,
    **options: Any,
) -> None:
    """Start a fine-tuning run and print its job's name alone.

    The same call again attaches to the same job and trains nothing. With --wait and --alternative the name is
    printed at the end: it is that of the attempt that AWS had an instance for.
    """
    from ift_sagemaker.plan.spec import Customization, parse
    from ift_sagemaker.report.progress import UploadBar, saying, watching

    session = session_of(options)
    how = parse(Customization, {name: options[name] for name in ("route", "accept_eula")})
    rows, run = _rows(session, options), _run(session, options)
    session.on_fetch = saying(options["model"])
    with UploadBar() as bar:
        session.on_upload = bar
        job = session.fine_tune(
            options["model"], rows, customization=how, retry=retry, stand_in=stand_in, **run
        )
    click.echo(f"{'attached to' if job.attached else 'started'} {job.name}", err=True)
    if job.stand_in:
        click.echo(job.stand_in, err=True)
    named_at_the_end = wait and options["alternatives"]
    if not named_at_the_end:
        click.echo(job.name)
    if wait:
        try:
            with watching(job.name) as on_progress:
                job.wait(timeout, on_progress)
        finally:
            if named_at_the_end:
                click.echo(job.name)


def _rows(session: Session, options: dict[str, Any], name: str = "rows") -> InstructionDataset:
    return session.read(
        options[name],
        fields=parse_settings(options["fields"], "--field") or None,
        template=template_of(options["template"]),
    )


def _run(session: Session, options: dict[str, Any]) -> dict[str, Any]:
    from ift_sagemaker.plan.spec import Compute, parse

    asked = {
        "instance_type": options["instance_type"],
        "instance_types": options["alternatives"] or None,
        "max_usd_per_hour": options["max_usd_per_hour"],
        "max_runtime_in_seconds": options["max_runtime"],
        "max_cost": options["max_cost"],
        "spot": options["spot"] or None,
    }
    compute = parse(Compute, {name: value for name, value in asked.items() if value is not None})
    validation = options["validation"]
    if validation and (options["fields"] or options["template"]):
        validation = _rows(session, options, "validation")
    return {
        "hyperparameters": parse_settings(options["settings"]),
        "compute": compute,
        "validation": validation,
    }
