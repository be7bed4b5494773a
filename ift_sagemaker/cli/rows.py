"""Where a command's rows are, the template they are put into, and the tokenizer that counts them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ift_sagemaker.cli.options import parse_settings, session_of
from ift_sagemaker.errors import ConfigError

if TYPE_CHECKING:
    from ift_sagemaker.data import InstructionDataset
    from ift_sagemaker.data.reading.sources import Source
    from ift_sagemaker.wire.template import PromptTemplate

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

template_option = click.option(
    "--template", metavar="NAME|FILE", help="alpaca, dolly or plain, or a JumpStart template.json."
)
tokenizer_option = click.option(
    "--tokenizer", metavar="MODEL|PATH", help="A pulled model's tokenizer, or a folder with tokenizer.json."
)


memory_option = click.option(
    "--memory",
    default="256MB",
    show_default=True,
    help="What may be held in memory, such as 1GB; the rest is in files.",
)


def storage_options(command: F) -> F:
    """Adds --target and --region, which decide where an `s3://` address is read."""
    for option in (
        click.option("--region", help="AWS region of s3:// rows; default: as for `ift train`."),
        click.option(
            "--target", type=click.Choice(["aws", "local"]), help="Where s3:// rows are; default: IFT_TARGET."
        ),
    ):
        command = option(command)
    return command


def rows_options(command: F) -> F:
    """Adds --template, --format and --field, which `seen_by` reads, and where `s3://` addresses are."""
    for option in (
        storage_options,
        click.option("--field", "fields", multiple=True, metavar="NAME=COLUMN", help="As for `ift train`."),
        click.option("--format", "format_", help="How rows are written; default: as the first ones look."),
        template_option,
    ):
        command = option(command)
    return command


def seen_by(options: Mapping[str, Any]) -> dict[str, Any]:
    """What --format, --field and --template say of rows, as readers take it."""
    return {
        "format": options["format_"],
        "fields": parse_settings(options["fields"], "--field") or None,
        "template": template_of(options["template"]),
    }


def read_rows(address: str, options: Mapping[str, Any]) -> InstructionDataset:
    """The instruction rows at a path or an `s3://` address."""
    from ift_sagemaker.data import InstructionDataset

    return InstructionDataset.read(source_of(address, options), **seen_by(options))


def bytes_of(text: str) -> int:
    """What --memory says, `256MB`, `1G` or `300000`, as a number of bytes; raises ConfigError."""
    found = re.fullmatch(r"(\d+) ?([KMG]?)i?B?", text.strip(), re.IGNORECASE | re.ASCII)
    if not found:
        raise ConfigError(
            f"--memory {text!r}: write a number of bytes, as in 256MB", field="--memory", value=text
        )
    return int(found[1]) * _UNITS[found[2].upper()]


def source_of(address: str, options: Mapping[str, Any]) -> Source:
    """The rows at a path or, by a session, at an `s3://` address."""
    from ift_sagemaker.data.reading.sources import REMOTE

    if not address.startswith(REMOTE):
        return address
    return session_of({"role": None, "bucket": None, **options}).at(address)


def template_of(name: str | None) -> PromptTemplate | None:
    """A ready template by its name, or that of a file. Raises TemplateError where there is neither."""
    if name is None:
        return None
    from ift_sagemaker.wire.template import PromptTemplate, named

    path = Path(name)
    return PromptTemplate.from_json(path.read_text("utf-8")) if path.is_file() else named(name)


def tokenizer_of(name: str | None) -> Path | None:
    """The folder or file of a tokenizer: a path, or a model whose weights are on this machine.

    Raises WeightsError with the command that fetches them, ModelNotFoundError for a name that is neither.
    """
    if name is None or Path(name).exists():
        return None if name is None else Path(name)
    from ift_sagemaker.catalog.weights import WeightsCache
    from ift_sagemaker.errors import WeightsError

    weights = WeightsCache().find(name)
    if weights is None:
        raise WeightsError(
            f"the tokenizer of {name} comes with its weights, which are not on this machine: "
            f"run `ift models pull {name}` first",
            model_id=name,
        )
    return weights.folder
