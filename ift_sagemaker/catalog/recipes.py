"""SageMaker's recipes for a model: technique, adapter, length, instances."""

from __future__ import annotations

from dataclasses import dataclass

from ift_sagemaker.catalog.facts import load


@dataclass(frozen=True)
class Recipe:
    """One recipe. `peft` is LORA or empty for full tuning; `max_length` in tokens; `nodes` machines.

    `published` False: in the repository of recipes, but not in JumpStart.
    """

    recipe: str
    technique: str
    peft: str
    framework: str
    instances: tuple[str, ...]
    max_length: int | None = None
    nodes: int | None = None
    version: str = ""
    published: bool = True

    @property
    def name(self) -> str:
        return self.recipe.rpartition("/")[2]


def recipes(model_id: str, technique: str = "", peft: str | None = None) -> tuple[Recipe, ...]:
    """The model's recipes; those of one technique, and of one adapter ("" for full tuning), where given.

    What JumpStart has comes first, and of that the framework that its spec files of 2026-08 name (llmft).
    """
    rows = load("recipes.json")["models"].get(model_id, ())
    found = (Recipe(**{**row, "instances": tuple(row["instances"])}) for row in rows)
    chosen = [
        recipe
        for recipe in found
        if technique in ("", recipe.technique) and (peft is None or peft == recipe.peft)
    ]
    return tuple(sorted(chosen, key=lambda recipe: (not recipe.published, recipe.framework == "verl")))
