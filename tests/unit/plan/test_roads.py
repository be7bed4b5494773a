"""Which route is taken, and how a closed one is refused."""

from __future__ import annotations

from datetime import date

import pytest

from ift_sagemaker import catalog
from ift_sagemaker.catalog.models import Road
from ift_sagemaker.errors import ConfigError, UnsupportedError
from ift_sagemaker.plan.roads import PLANNERS, refuse_unheard, road_of
from ift_sagemaker.plan.spec import Customization

TODAY = date(2026, 11, 24)


@pytest.mark.parametrize(
    ("model_id", "route"),
    [
        ("smollm2-135m-instruct", "container"),
        ("meta-textgeneration-llama-3-1-70b", "jumpstart"),
        ("meta-textgeneration-llama-3-1-8b-instruct", "serverless"),
        ("nova-textgeneration-pro", "serverless"),
        ("amazon.nova-pro-v1:0:300k", "bedrock"),
        ("gpt-4.1-mini-2025-04-14", "export"),
        ("huggingface-llm-mistral-7b", "jumpstart"),
        ("meta-vlm-llama-4-scout-17b-16e-instruct", "recipe"),
    ],
)
def test_the_first_road_that_lives_and_can_be_planned_is_taken(model_id: str, route: str) -> None:
    assert road_of(catalog.find(model_id), TODAY).route == route


@pytest.mark.parametrize(
    ("model_id", "told"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0:200k", r"2026-09-10.*2026-03-10.*Alive is amazon\.nova"),
        ("amazon.titan-text-express-v1", r"2025-08-15.*unverified.*Alive is amazon\.nova-micro"),
        ("meta.llama3-2-3b-instruct-v1:0:128k", r"2026-07-07.*Alive is meta-textgeneration-llama-3-2-3b"),
        ("amazon.nova-canvas-v1:0", r"2026-09-30.*Alive is model-txt2img"),
        ("gpt-4.1-nano-2025-04-14", r"2026-10-23.*Alive is openai-reasoning-gpt-oss"),
        ("cohere.command-text-v14", r"gone, on an unknown day.*Alive is"),
    ],
)
def test_a_dead_road_is_refused_with_date_alternative_and_source(model_id: str, told: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{told}.*Source: "):
        road_of(catalog.find(model_id), TODAY)


def test_the_day_decides() -> None:
    claude = catalog.find("anthropic.claude-3-haiku-20240307-v1:0:200k")
    assert road_of(claude, date(2026, 3, 9)).route == "bedrock"
    with pytest.raises(UnsupportedError, match="legacy since 2026-03-10, off on 2026-09-10"):
        road_of(claude, date(2026, 3, 10))
    hosted = catalog.find("gpt-4.1-2025-04-14")
    assert road_of(hosted, date(2027, 1, 5)).route == "export"
    with pytest.raises(UnsupportedError, match="legacy since 2027-01-06, off on 2027-01-14"):
        road_of(hosted, date(2027, 1, 6))


def test_a_dead_road_stays_dead_where_it_is_asked_for_by_name() -> None:
    with pytest.raises(UnsupportedError, match="takes no new job by route bedrock"):
        road_of(catalog.find("amazon.nova-canvas-v1:0"), TODAY, "bedrock")


def test_a_route_that_a_model_does_not_have_is_told_those_it_has() -> None:
    with pytest.raises(ConfigError, match="it has jumpstart, serverless, recipe"):
        road_of(catalog.find("meta-textgeneration-llama-3-1-8b-instruct"), TODAY, "bedrock")


def test_every_route_of_the_catalogue_but_our_own_has_a_planner() -> None:
    routes = {route for model in catalog.models() for route in model.routes}
    assert routes - {"container"} == set(PLANNERS)


@pytest.mark.parametrize("route", ["container", "jumpstart", "export"])
def test_a_technique_that_a_route_would_not_hear_is_refused(route: str) -> None:
    road = Road(route=route, source="", date="")
    refuse_unheard(Customization(), road)
    with pytest.raises(UnsupportedError, match=f"DPO is not offered by route {route}"):
        refuse_unheard(Customization(technique="DPO"), road)
    with pytest.raises(ConfigError, match="no choice of `full`"):
        refuse_unheard(Customization(full=True), road)
