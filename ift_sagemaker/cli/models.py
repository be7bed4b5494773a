"""`ift models …`."""

from __future__ import annotations

from dataclasses import asdict

import click

from ift_sagemaker.cli.options import as_json, print_json


@click.command("list")
@as_json
def list_models(as_json: bool) -> None:  # noqa: FBT001
    """Models that can be fine-tuned."""
    from ift_sagemaker.catalog import models

    if as_json:
        print_json([asdict(model) for model in models()])
        return
    from ift_sagemaker.report import models_table, to_text

    click.echo(to_text(models_table(models())), nl=False)


@click.command()
@click.argument("model")
def show(model: str) -> None:
    """One model and its hyperparameters, as JSON."""
    from ift_sagemaker.catalog import find
    from ift_sagemaker.wire.hyperparameters import TRAINING_HYPERPARAMETERS

    print_json(
        {
            **asdict(find(model)),
            "hyperparameters": [
                {"name": h.name, "default": h.default, "allowed": h.allowed, "help": h.help}
                for h in TRAINING_HYPERPARAMETERS
            ],
        }
    )


@click.command()
@click.argument("families", nargs=-1)
@as_json
def compare(families: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Model families side by side; all of them where none is named."""
    from ift_sagemaker.catalog import compare as compare_families

    frame = compare_families(*families)
    if as_json:
        print_json(
            {"as_of": frame.attrs["as_of"], "table": frame.to_dict(), "sources": frame.attrs["sources"]}
        )
        return
    from ift_sagemaker.report import comparison_tables, to_text, width

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
