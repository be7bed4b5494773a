"""Route `recipe`: SageMaker's recipes on machines of one's own choice. Checked, then refused: see below."""

from __future__ import annotations

from typing import NoReturn

from ift_sagemaker.catalog.recipes import Recipe, recipes
from ift_sagemaker.errors import ConfigError, UnsupportedError
from ift_sagemaker.plan.plans import Place
from ift_sagemaker.plan.routes.job import RouteInputs
from ift_sagemaker.plan.routes.serverless import hyperparameters_of


def plan_recipe(inputs: RouteInputs, place: Place, attempt: int = 1) -> NoReturn:
    """Always raises: first for what is wrong with the run, else UnsupportedError.

    A recipe job carries the recipe's text, rendered, and its image; both lie in AWS's buckets and registry
    and are not in this catalogue, so no exact request can be shown.
    """
    del attempt
    inputs.require_region(place)
    inputs.technique()
    inputs.require_eula()
    hyperparameters_of(inputs)
    recipe = _recipe(inputs)
    raise UnsupportedError(
        f"the run fits recipe {recipe.recipe} on {recipe.nodes or 1} x {', '.join(recipe.instances)}, but "
        "the recipe's text and its image are not in this catalogue, so its request cannot be shown; route "
        "serverless asks for the same without either",
        feature="recipe jobs",
    )


def _recipe(inputs: RouteInputs) -> Recipe:
    """The first recipe that runs on the instance type asked for, or the first of all."""
    asked = inputs.spec.customization
    found = recipes(inputs.model.model_id, asked.technique, "" if asked.full else "LORA")
    if "instance_type" not in inputs.spec.compute.model_fields_set:
        return found[0]
    wanted = inputs.spec.compute.instance_type
    fitting = [recipe for recipe in found if wanted in recipe.instances]
    if not fitting:
        allowed = ", ".join(sorted({name for recipe in found for name in recipe.instances}))
        raise ConfigError(
            f"no recipe of {inputs.model.model_id} runs on {wanted}; they run on {allowed}",
            field="instance_type",
            value=wanted,
            allowed=allowed,
        )
    return fitting[0]
