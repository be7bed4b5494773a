"""Which of a model's routes is taken, and the refusal of those that lead nowhere any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from ift_sagemaker.catalog.launch import has_launch
from ift_sagemaker.catalog.models import FoundationModel, Road
from ift_sagemaker.errors import ConfigError, UnsupportedError
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.plans import Place
from ift_sagemaker.plan.routes.bedrock import plan_bedrock
from ift_sagemaker.plan.routes.export import plan_export
from ift_sagemaker.plan.routes.job import OFFERED_TECHNIQUES, RouteInputs
from ift_sagemaker.plan.routes.jumpstart import plan_jumpstart
from ift_sagemaker.plan.routes.recipe import plan_recipe
from ift_sagemaker.plan.routes.serverless import plan_serverless
from ift_sagemaker.plan.spec import Customization

PLANNERS: Mapping[str, Callable[[RouteInputs, Place], RoutePlan]] = {
    "jumpstart": plan_jumpstart,
    "serverless": plan_serverless,
    "recipe": plan_recipe,
    "bedrock": plan_bedrock,
    "export": plan_export,
}
"""Of every route but our own, `container`."""
NOT_PLANNED = ("recipe",)
"""Routes whose request cannot be made of what the catalogue holds."""


_WITH_ADAPTERS_OR_NOT = ("serverless", "recipe")
_WITH_TECHNIQUES = ("serverless", "recipe", "bedrock")
"""Routes that check the technique by what the model has."""


def road_of(model: FoundationModel, today: date, route: str | None = None) -> Road:
    """The road asked for, or the model's first that takes jobs today and can be planned.

    Files alone (export) are chosen for a model that has other roads only where they are asked for. Raises
    ConfigError for a route that the model does not have, UnsupportedError, with date, reason and what is
    alive instead, where the road is closed.
    """
    if route is not None:
        road = model.road(route)
        if road is None:
            allowed = ", ".join(model.routes)
            raise ConfigError(
                f"{model.model_id} has no route {route!r}; it has {allowed}",
                field="route",
                value=route,
                allowed=allowed,
            )
        refuse_closed(model, road, today)
        return road
    roads = [road for road in model.roads if road.route != "export"] or list(model.roads)
    alive = [road for road in roads if road.state(today) == "active"]
    if not alive:
        refuse_closed(model, roads[0], today)
    return next((road for road in alive if _can_be_planned(model, road)), alive[0])


def refuse_unheard(asked: Customization, road: Road) -> None:
    """Raises where the route would not hear how the model is to be tuned.

    ConfigError for `full` where hyperparameters decide that, or the service; UnsupportedError for a technique
    that is not offered.
    """
    if asked.full and road.route not in _WITH_ADAPTERS_OR_NOT:
        instead = " (peft_type=None tunes all weights)" if road.route == "container" else ""
        raise ConfigError(
            f"route {road.route} has no choice of `full`: leave it out{instead}", field="full", value=True
        )
    if asked.technique not in OFFERED_TECHNIQUES and road.route not in _WITH_TECHNIQUES:
        raise UnsupportedError(
            f"{asked.technique} is not offered by route {road.route}: {', '.join(OFFERED_TECHNIQUES)} is",
            feature=f"technique {asked.technique} by route {road.route}",
        )


def refuse_closed(model: FoundationModel, road: Road, today: date) -> None:
    """Raises UnsupportedError unless the road takes new jobs on that day."""
    state = road.state(today)
    if state == "active":
        return
    instead = f" Alive is {road.instead}." if road.instead else ""
    note = f" ({road.note})" if road.note else ""
    raise UnsupportedError(
        f"{model.model_id} takes no new job by route {road.route}: {_since(road, state)}{note}.{instead} "
        f"Source: {road.source}, {road.date}",
        feature=f"{road.route} of {model.model_id}",
    )


def _since(road: Road, state: str) -> str:
    if state == "legacy":
        end = f", off on {road.eol_date}" if road.eol_date else ""
        return f"legacy since {road.legacy_date}{end}"
    if road.eol_date is None:
        return "gone, on an unknown day"
    before = f", and took no new job since {road.legacy_date}" if road.legacy_date else ""
    return f"at its end since {road.eol_date}{before}"


def _can_be_planned(model: FoundationModel, road: Road) -> bool:
    return road.route not in NOT_PLANNED and (road.route != "jumpstart" or has_launch(model))
