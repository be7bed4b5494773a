"""`ift data render`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ift_sagemaker.cli.options import as_json, print_json
from ift_sagemaker.cli.rows import read_rows, rows_options, tokenizer_of, tokenizer_option

if TYPE_CHECKING:
    from ift_sagemaker.data import RenderedRow


@click.command()
@click.argument("source", type=click.Path())
@tokenizer_option
@click.option(
    "--rows", type=click.IntRange(min=1), default=3, show_default=True, help="How many, from the first."
)
@rows_options
@as_json
def render(source: str, rows: int, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Show rows exactly as the model will see them, with the trained part marked.

    With --tokenizer the text is that of the very tokens that are trained on. The trained part is green in a
    terminal and stands in ⟦brackets⟧ elsewhere; --json gives spans of characters.
    """
    data = read_rows(source, options)
    rendered = data.render(tokenizer_of(options["tokenizer"]), rows=rows)
    if as_json:
        print_json([row.to_dict() for row in rendered])
        return
    for row in rendered:
        click.secho(f"-- {data.path}:{row.line}{_figures(row)}", err=True, dim=True)
        click.echo(shown(row, coloured=sys.stdout.isatty()))


def shown(row: RenderedRow, *, coloured: bool) -> str:
    """The row's text, what is trained in green or in brackets."""
    if not coloured:
        return str(row)
    return "".join(click.style(text, fg="green") if learnt else text for text, learnt in row.pieces())


def _figures(row: RenderedRow) -> str:
    if not row.exact:
        return " (turns; --tokenizer shows them by a model's chat template)"
    ended = "" if row.ended else ", WITHOUT an end token"
    return f" ({row.tokens} tokens, {row.trained_tokens} trained{ended})"
