"""The generated pages. `python -m tests.docs.pages` writes them; a test fails when one is out of date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from ift_sagemaker.cli.tree import ift
from ift_sagemaker.wire.hyperparameters import (
    EVALUATION_HYPERPARAMETERS,
    TRAINING_HYPERPARAMETERS,
    Hyperparameter,
)

DOCS = Path(__file__).parents[2] / "docs" / "reference"


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """The command and everything below it, in the tree's order."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from commands(below, click.Context(below, parent=context, info_name=name))


def cli_page() -> str:
    root = click.Context(ift, info_name="ift", **ift.context_settings)
    parts = ["# Command line\n\nGenerated from the commands themselves.\n"]
    for context in commands(ift, root):
        context.terminal_width = context.max_content_width = 90
        text = context.command.get_help(context)
        parts.append(f"## `{context.command_path}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _table(entries: tuple[Hyperparameter, ...]) -> str:
    rows = [f"| `{h.name}` | `{h.default}` | {h.allowed} | {h.help} |" for h in entries]
    return "\n".join(["| name | default | allowed | what it is |", "|---|---|---|---|", *rows])


def hyperparameters_page() -> str:
    return (
        "# Hyperparameters\n\nGenerated from the table that the SDK checks with and the program reads with. "
        "Names are JumpStart's.\n\n"
        f"## Training\n\n{_table(TRAINING_HYPERPARAMETERS)}\n\n"
        f"## Evaluation\n\n{_table(EVALUATION_HYPERPARAMETERS)}\n"
    )


PAGES = {"cli.md": cli_page, "hyperparameters.md": hyperparameters_page}

if __name__ == "__main__":
    DOCS.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
