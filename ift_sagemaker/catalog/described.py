"""A model as people and programs read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from ift_sagemaker.catalog.hyperparameters import Table, bedrock_table, jumpstart_table, recipe_table
from ift_sagemaker.catalog.models import FoundationModel
from ift_sagemaker.catalog.recipes import recipes
from ift_sagemaker.errors import UnsupportedError
from ift_sagemaker.wire.hyperparameters import TRAINING_HYPERPARAMETERS


def models_text(models: Sequence[FoundationModel], today: date) -> str:
    """One line each: id, family, state, routes, tasks. Plain columns, as it may be hundreds."""
    head = ("model", "family", "state", "routes", "tasks")
    rows = [(m.model_id, m.family, m.state(today), ",".join(m.routes), ",".join(m.tasks)) for m in models]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in (head, *rows)
    )


def described(model: FoundationModel, today: date) -> dict[str, Any]:
    """The model's row, the state of each road, its recipes, and its hyperparameters by route.

    A route whose list is not at hand says so in place of the list.
    """
    found = model.to_dict(today)
    for road, row in zip(model.roads, found["roads"], strict=True):
        row["state"] = road.state(today)
    return {
        **found,
        "recipes": [asdict(recipe) for recipe in recipes(model.model_id)],
        "hyperparameters": {route: _hyperparameters(model, route) for route in model.routes if route in _OF},
    }


def _hyperparameters(model: FoundationModel, route: str) -> Any:
    try:
        return _OF[route](model)
    except UnsupportedError as error:
        return {"unknown": error.message}


def _container(_: FoundationModel) -> Any:
    return [
        {"name": h.name, "default": h.default, "allowed": h.allowed, "help": h.help}
        for h in TRAINING_HYPERPARAMETERS
    ]


def _recipes(model: FoundationModel) -> Any:
    """By technique, of the first recipe that offers it: those of a technique share a template."""
    found: dict[str, Any] = {}
    for recipe in recipes(model.model_id):
        technique = f"{recipe.technique}{'-' + recipe.peft if recipe.peft else ''}"
        if technique not in found:
            try:
                found[technique] = _rows(recipe_table(model, recipe))
            except UnsupportedError as error:
                found[technique] = {"unknown": error.message}
    return found


def _rows(table: Table) -> Any:
    rows = [
        {"name": entry.name, "default": entry.default, "allowed": entry.allowed} for entry in table.settable
    ]
    return {"source": table.source, "date": table.date, "note": table.note, "parameters": rows}


_OF: dict[str, Callable[[FoundationModel], Any]] = {
    "container": _container,
    "jumpstart": lambda model: _rows(jumpstart_table(model)),
    "serverless": _recipes,
    "recipe": lambda _: "as for serverless",
    "bedrock": lambda model: _rows(bedrock_table(model)),
}
