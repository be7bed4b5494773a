"""`ift doctor`."""

from __future__ import annotations

from typing import Any

import click

from ift_sagemaker.cli.exits import BAD_INPUT
from ift_sagemaker.cli.options import as_json, print_json, session_of, target_options


@click.command()
@click.option("--model", "model_id", metavar="ID", help="Also look at this model: route, licence, weights.")
@click.option("--instance-type", help="For training; default ml.g5.xlarge.")
@click.option("--endpoint-instance-type", help="For the endpoint; default ml.g5.xlarge.")
@click.option("--spot", is_flag=True, help="Look at the quota of managed spot training.")
@click.option("--kms-key", metavar="ARN", help="The key of bucket, output or volume.")
@target_options
@as_json
@click.pass_context
def doctor(context: click.Context, /, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """What this account or machine lacks for a run, and the IAM statements to add.

    Reads only. Exit 0 where nothing that was looked at is missing, 3 where something is. What cannot be
    looked at is `not checked`, with the reason.
    """
    from ift_sagemaker.plan.spec import Compute, parse

    asked = {
        "instance_type": options["instance_type"],
        "spot": options["spot"] or None,
        "output_kms_key": options["kms_key"],
    }
    compute = parse(Compute, {name: value for name, value in asked.items() if value is not None})
    endpoint = options["endpoint_instance_type"]
    more = {"endpoint_instance_type": endpoint} if endpoint else {}
    report = session_of(options).doctor(options["model_id"], compute=compute, **more)
    if as_json:
        print_json(report.to_dict())
    else:
        from ift_sagemaker.report import doctor_table, to_text

        click.echo(to_text(doctor_table(report)), nl=False)
        for line in report.policy_lines():
            click.echo(line)
    if not report.ready:
        context.exit(BAD_INPUT)
