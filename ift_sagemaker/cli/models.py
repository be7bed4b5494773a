"""`ift models …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ift_sagemaker.cli.options import as_json, print_json
from ift_sagemaker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ift_sagemaker.catalog import FoundationModel


@click.command("list")
@click.option("--family", help="As `ift models compare` names them: llama, mistral, bert …")
@click.option("--route", help="container, jumpstart, serverless, recipe, bedrock or export.")
@click.option("--task", help="text-generation, text-classification, text-to-image …")
@click.option("--tunable", is_flag=True, help="Only those that something here or on AWS still tunes.")
@as_json
def list_models(
    family: str | None,
    route: str | None,
    task: str | None,
    tunable: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Foundation models: how each can be fine-tuned, and whether it still can."""
    from ift_sagemaker.catalog import models
    from ift_sagemaker.catalog.models import today

    known = models()
    day = today()
    _known("--family", family, {model.family for model in known})
    _known("--route", route, {name for model in known for name in model.routes})
    _known("--task", task, {name for model in known for name in model.tasks})
    chosen = [
        model
        for model in known
        if family in (None, model.family)
        and (route is None or route in model.routes)
        and (task is None or task in model.tasks)
        and (not tunable or model.tunable(day))
    ]
    _print(chosen, as_json=as_json)


@click.command()
@click.argument("words", nargs=-1, required=True)
@as_json
def search(words: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Models with every one of WORDS in id, name, family, developer, Hub id, tasks or routes."""
    from ift_sagemaker.catalog import search as search_models

    found = search_models(" ".join(words))
    if not found:
        click.echo(f"no model has all of: {' '.join(words)}", err=True)
    if found or as_json:
        _print(found, as_json=as_json)


@click.command()
@click.argument("model")
def show(model: str) -> None:
    """One model as JSON: its roads with their dates, recipes, and hyperparameters by route."""
    from ift_sagemaker.catalog import find
    from ift_sagemaker.catalog.described import described
    from ift_sagemaker.catalog.models import today

    print_json(described(find(model), today()))


@click.command()
@click.argument("families", nargs=-1)
@click.option("--markdown", is_flag=True, help="Print Markdown, with the source of every cell.")
@click.option("--html", type=click.Path(dir_okay=False), metavar="PAGE", help="Write one HTML page.")
@as_json
def compare(families: tuple[str, ...], markdown: bool, html: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Model families side by side over fifteen features; all of them where none is named.

    `*` marks general knowledge, `†` what corrects a claim of the comparison of 2023.
    """
    from ift_sagemaker.catalog import compare as compare_families

    frame = compare_families(*families)
    if as_json:
        print_json(
            {"as_of": frame.attrs["as_of"], "table": frame.to_dict(), "sources": frame.attrs["sources"]}
        )
        return
    from ift_sagemaker.report import (
        comparison_html,
        comparison_markdown,
        comparison_tables,
        to_text,
        width,
    )

    if html is not None:
        _write(Path(html), comparison_html(frame))
    elif markdown:
        click.echo(comparison_markdown(frame), nl=False)
    else:
        for table in comparison_tables(frame, width()):
            click.echo(to_text(table), nl=False)


@click.command()
@click.argument("model")
def pull(model: str) -> None:
    """Fetch a model's weights to this machine and print their folder."""
    from ift_sagemaker.catalog import find
    from ift_sagemaker.catalog.weights import WeightsCache
    from ift_sagemaker.report.progress import saying

    find(model)
    cache = WeightsCache()
    weights = cache.find(model) or cache.pull(model, saying(model))
    click.echo(str(weights.folder))


def _print(models: Iterable[FoundationModel], *, as_json: bool) -> None:
    from ift_sagemaker.catalog.models import today

    if as_json:
        print_json([model.to_dict(today()) for model in models])
        return
    from ift_sagemaker.catalog.described import models_text

    click.echo(models_text(list(models), today()), nl=False)


def _known(option: str, asked: str | None, known: set[str]) -> None:
    if asked is not None and asked not in known:
        allowed = ", ".join(sorted(known))
        raise ConfigError(
            f"{option} {asked!r}: there are {allowed}", field=option, value=asked, allowed=allowed
        )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", field="--html") from error
    click.echo(str(path))
