"""`ift evaluate`."""

from __future__ import annotations

from typing import Any

import click

from ift_sagemaker.cli.options import as_json, parse_settings, print_json, session_of, target_options
from ift_sagemaker.cli.rows import template_of, template_option


@click.command()
@click.argument("job")
@click.argument("rows", type=click.Path())
@click.option(
    "--require", "requirements", multiple=True, metavar="METRIC>=VALUE", help="A gate; exit 6 when missed."
)
@click.option("--max-new-tokens", type=click.IntRange(1, 32768), default=128, show_default=True)
@click.option("--field", "fields", multiple=True, metavar="NAME=COLUMN", help="As for `ift train`.")
@click.option("--allow-unfinished", is_flag=True, help="Judge what a stopped job left.")
@click.option("--retry", is_flag=True, help="Start again an evaluation that failed or was stopped.")
@template_option
@target_options
@as_json
def evaluate(
    job: str,
    rows: str,
    requirements: tuple[str, ...],
    max_new_tokens: int,
    fields: tuple[str, ...],
    allow_unfinished: bool,  # noqa: FBT001
    retry: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Base against tuned over held-out ROWS: exact match, ROUGE-L and loss, overall and by instruction."""
    from ift_sagemaker.evaluation.gate import Requirement, check
    from ift_sagemaker.report.progress import watching

    gates = [Requirement.parse(text) for text in requirements]
    session = session_of(options)
    held_out = session.read(
        rows,
        fields=parse_settings(fields, "--field") or None,
        template=template_of(options.pop("template")),
    )
    instructions = {str(row.get("instruction")) for row in held_out}
    for gate in gates:
        gate.require_instruction(instructions)
    with watching(f"evaluation of {job}") as on_progress:
        result = session.evaluate(
            job,
            held_out,
            max_new_tokens=max_new_tokens,
            allow_unfinished=allow_unfinished,
            retry=retry,
            on_progress=on_progress,
        )
    if as_json:
        print_json(result.to_dict())
    else:
        from ift_sagemaker.report import evaluation_table, to_text

        click.echo(to_text(evaluation_table(result)), nl=False)
    check(result, gates)
