"""Where a command's rows are, the template they are put into, and the tokenizer that counts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ift_sagemaker.cli.options import session_of

if TYPE_CHECKING:
    from ift_sagemaker.data.reading.sources import Source
    from ift_sagemaker.wire.template import PromptTemplate

F = TypeVar("F", bound=Callable[..., Any])

template_option = click.option(
    "--template", metavar="NAME|FILE", help="alpaca, dolly or plain, or a JumpStart template.json."
)
tokenizer_option = click.option(
    "--tokenizer", metavar="MODEL|PATH", help="A pulled model's tokenizer, or a folder with tokenizer.json."
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
