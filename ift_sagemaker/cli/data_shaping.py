"""`ift data split, dedupe, filter, sample, mix, shuffle`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ift_sagemaker.cli.options import as_json, print_json
from ift_sagemaker.cli.rows import bytes_of, memory_option, rows_options, seen_by, source_of, storage_options
from ift_sagemaker.errors import ConfigError

if TYPE_CHECKING:
    from ift_sagemaker.data import Shaped

F = TypeVar("F", bound=Callable[..., Any])

_OF_ROWS = ("format_", "fields", "template", "target", "region")
_COUNTED = {"filter": "dropped by ", "dedupe": "dropped ", "mix": "from "}
_SEED = click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another draw.")


def _files(command: F) -> F:
    """Adds SRC and DST."""
    return click.argument("source", metavar="SRC")(click.argument("destination", metavar="DST")(command))


def _limits(command: F) -> F:
    """Adds what every verb has: --memory and --json."""
    return memory_option(as_json(command))


@click.command()
@_files
@rows_options
@_limits
@click.option("--test-size", type=float, default=0.1, show_default=True, help="Share of rows for test.")
@click.option("--validation-size", type=float, help="Share of rows for validation; default: none.")
@click.option("--stratify", metavar="FIELD", help="Keep the shares of its values; `label`: of the answers.")
@click.option(
    "--near/--no-near",
    default=True,
    show_default=True,
    help="Keep near duplicates of a prompt on one side.",
)
@click.option(
    "--compress", type=click.Choice(["gz", "zst"]), help="Write .jsonl.gz or .jsonl.zst; default: .jsonl."
)
@_SEED
def split(source: str, destination: str, compress: str | None, **options: Any) -> None:
    """Part rows into train.jsonl, test.jsonl (and validation.jsonl) in the new folder DST.

    Rows of the same prompt are on one side. Shares are met as nearly as that allows.
    """
    from ift_sagemaker.data import split_rows

    _run("split", options, split_rows, source, destination, compression=compress or "")


@click.command()
@_files
@rows_options
@_limits
@click.option("--near", is_flag=True, help="Near duplicates go too; `check` calls them so as well.")
@click.option(
    "--by",
    type=click.Choice(["example", "prompt", "row"]),
    default="example",
    show_default=True,
    help="What is compared: prompt and answer, the prompt, or every field.",
)
def dedupe(source: str, destination: str, **options: Any) -> None:
    """Write rows without repetitions to the new file DST; the first of equal rows is kept."""
    from ift_sagemaker.data import dedupe_rows

    _run("dedupe", options, dedupe_rows, source, destination)


@click.command("filter")
@_files
@rows_options
@_limits
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="FIELD=VALUE, !=, ~ (has the text), !~, <, <=, >, >=, or so of len(FIELD). All must hold.",
)
@click.option("--min-chars", type=int, help="Characters of prompt and answer, at least.")
@click.option("--max-chars", type=int, help="Characters of prompt and answer, at most.")
def filter_command(source: str, destination: str, **options: Any) -> None:
    """Write the rows that meet every condition to the new file DST."""
    from ift_sagemaker.data import filter_rows

    _run("filter", options, filter_rows, source, destination)


@click.command()
@_files
@click.option("--count", type=int, help="Rows, exactly.")
@click.option("--share", type=float, help="Share of rows, over 0 and under 1.")
@_SEED
@storage_options
@_limits
def sample(source: str, destination: str, **options: Any) -> None:
    """Write rows drawn at random, in their order, to the new file DST: --count or --share."""
    from ift_sagemaker.data import sample_rows

    _run("sample", options, sample_rows, source, destination)


@click.command()
@_files
@_SEED
@storage_options
@_limits
def shuffle(source: str, destination: str, **options: Any) -> None:
    """Write rows in a random order to the new file DST. More rows than memory holds are fine."""
    from ift_sagemaker.data import shuffle_rows

    _run("shuffle", options, shuffle_rows, source, destination)


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SRC=WEIGHT...")
@click.argument("destination", metavar="DST")
@click.option(
    "--until",
    type=click.Choice(["first", "all"]),
    default="first",
    show_default=True,
    help="End with the last row of any source, or when all had theirs (shorter ones begin again).",
)
@_SEED
@storage_options
@_limits
def mix(sources: tuple[str, ...], destination: str, **options: Any) -> None:
    """Write rows of several sources, in proportion to their weights, to the new file DST."""
    from ift_sagemaker.data import mix_rows

    weights = {source_of(path, options): weight for path, weight in _weights(sources).items()}
    _run("mix", options, mix_rows, weights, destination)


def _weights(sources: tuple[str, ...]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for text in sources:
        path, equals, weight = text.rpartition("=")
        try:
            number = float(weight) if equals and path else None
        except ValueError:
            number = None
        if number is None:
            raise ConfigError(
                f"{text!r}: write SRC=WEIGHT, as in rows.jsonl=2",
                field="sources",
                value=text,
                allowed="SRC=WEIGHT",
            )
        if path in weights:
            raise ConfigError(f"{path} is given twice: add its weights up", field="sources", value=text)
        weights[path] = number
    return weights


def _run(
    verb: str,
    options: dict[str, Any],
    shape: Callable[..., Shaped],
    source: Any,
    destination: str,
    **more: Any,
) -> None:
    """Shapes with a bar on stderr, and tells what was done."""
    from ift_sagemaker.report.rows_bar import RowsBar

    for_machines, memory = options.pop("as_json"), bytes_of(options.pop("memory"))
    rows = source_of(source, options) if isinstance(source, str) else source
    if "fields" in options:
        more |= seen_by(options)
    own = {name: value for name, value in options.items() if name not in _OF_ROWS}
    with RowsBar(verb) as bar:
        done = shape(rows, destination, **own, **more, memory_bytes=memory, on_progress=bar)
    if for_machines:
        print_json(done.to_dict())
        return
    click.echo("\n".join(_told(done)))


def _told(done: Shaped) -> list[str]:
    """One line for what was read and made, one for each thing that was counted."""
    rows = f"{done.written} rows"
    if list(done.files) != [PurePath(done.destination).name]:
        rows = ", ".join(f"{name} {count}" for name, count in done.files.items())
    what = _COUNTED.get(done.verb, "")
    lines = [f"{done.read} rows -> {done.destination}: {rows}"]
    lines += [f"  {what}{name}: {count}" for name, count in done.counts.items()]
    for value, parts in done.strata.items():
        lines.append(f"  {value!r}: {', '.join(f'{part} {count}' for part, count in parts.items())}")
    return lines
