from __future__ import annotations

import json
from datetime import date

import pytest

from ift_sagemaker import catalog
from ift_sagemaker.catalog.described import described, models_text
from ift_sagemaker.catalog.instances import instances
from ift_sagemaker.catalog.models import ROUTES, Road
from ift_sagemaker.errors import ModelNotFoundError

TODAY = date(2026, 11, 24)


def test_smollm2_can_be_launched_and_says_what_it_is() -> None:
    model = catalog.find("smollm2-135m-instruct")
    assert (model.route, model.licence, model.gated) == ("container", "Apache-2.0", False)
    assert (model.context_length, round((model.parameters or 0) / 1e6, 1)) == (8192, 134.5)
    assert model.hub_id == "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.parametrize("name", ["SmolLM2-135M-Instruct", "huggingfacetb/smollm2-135m-instruct"])
def test_a_model_is_found_in_any_case_and_by_its_hub_id(name: str) -> None:
    assert catalog.find(name).model_id == "smollm2-135m-instruct"


def test_a_near_miss_is_told_the_closest_id() -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean smollm2-135m-instruct") as caught:
        catalog.find("smolm2-135-instruct")
    assert caught.value.closest[0] == "smollm2-135m-instruct"


@pytest.mark.parametrize("name", ["claude-3-haiku", "nova-lite", "", "../x"])
def test_what_is_no_id_is_unknown_and_the_way_is_told(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="ift models search"):
        catalog.find(name)


def test_every_model_has_a_road_and_every_road_a_source_and_a_date() -> None:
    found = catalog.models()
    assert len({model.model_id for model in found}) == len(found)
    assert [model.model_id for model in found] == sorted(model.model_id for model in found)
    for model in found:
        assert model.display_name
        assert model.family
        assert model.developer
        assert model.roads
        for road in model.roads:
            assert road.route in ROUTES
            assert road.source
            assert "2025-01-01" < road.date <= "2026-11-24"
            assert date.fromisoformat(road.date)


def test_the_classic_ids_the_recipe_ids_bedrocks_and_the_hosted_ones_are_all_there() -> None:
    by_route = {route: [m for m in catalog.models() if route in m.routes] for route in ROUTES}
    counts = {route: len(found) for route, found in by_route.items()}
    assert counts["jumpstart"] == 221 + 1  # the table, and one spec that the table lacks
    assert counts["serverless"] == 31 + 4  # the matrix, and Nova
    assert counts["recipe"] == 37
    assert counts["container"] >= 1
    assert {m.family for m in by_route["export"]} == {"gpt", "claude"}


def test_an_id_with_a_classic_spec_and_recipes_has_all_its_roads() -> None:
    assert catalog.find("meta-textgeneration-llama-3-1-8b-instruct").routes == (
        "jumpstart",
        "serverless",
        "recipe",
    )


def test_gpt_oss_is_tunable_though_its_classic_flag_says_no() -> None:
    model = catalog.find("openai-reasoning-gpt-oss-20b")
    assert model.tunable(TODAY)
    assert "jumpstart" not in model.routes


@pytest.mark.parametrize(
    ("model_id", "last_day", "state"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0:200k", date(2026, 3, 9), "legacy"),
        ("meta.llama3-2-1b-instruct-v1:0:128k", date(2026, 7, 6), "gone"),
        ("amazon.nova-canvas-v1:0", date(2026, 3, 29), "legacy"),
        ("amazon.titan-text-express-v1", date(2025, 8, 14), "gone"),
    ],
)
def test_no_job_is_taken_from_the_day_on_which_a_model_is_legacy_or_gone(
    model_id: str, last_day: date, state: str
) -> None:
    model = catalog.find(model_id)
    assert model.tunable(last_day)
    day_after = last_day.replace(day=last_day.day + 1) if last_day.day < 31 else last_day
    assert model.state(day_after) == state
    assert not model.tunable(day_after)
    assert model.roads[0].instead


def test_a_closed_road_is_gone_without_a_date() -> None:
    assert Road("bedrock", "s", "2026-01-01", closed=True).state(date(2020, 1, 1)) == "gone"


def test_every_alternative_names_a_model_that_is_alive() -> None:
    for model in catalog.models():
        for road in model.roads:
            if road.instead:
                instead = catalog.find(road.instead.split(" ")[0])
                assert instead.tunable(TODAY), (model.model_id, road.instead)


def test_hosted_models_are_for_export_alone() -> None:
    model = catalog.find("gpt-4.1-2025-04-14")
    assert model.routes == ("export",)
    assert not model.tunable(TODAY)
    assert model.state(date(2027, 1, 5)) == "active"
    assert model.state(date(2027, 1, 6)) == "legacy"
    assert model.state(date(2027, 1, 14)) == "gone"


def test_gated_models_give_the_address_of_their_licence() -> None:
    gated = [model for model in catalog.models() if model.gated]
    assert len(gated) > 30
    assert all(model.eula.startswith("https://") for model in gated)


def test_training_instances_are_types_that_are_known() -> None:
    gone = {"ml.p2.xlarge", "ml.p2.8xlarge", "ml.p2.16xlarge"}
    named = {name for model in catalog.models() for name in model.instances}
    assert named - gone <= set(instances()) | {"ml.p3.2xlarge", "ml.p3.8xlarge", "ml.p3.16xlarge"}


def test_words_are_searched_in_names_developers_tasks_and_routes() -> None:
    found = {model.model_id for model in catalog.search("google question-answering whole")}
    assert "huggingface-eqa-bert-large-cased-whole-word-masking" in found
    assert catalog.search("no such words") == ()


def test_a_list_has_one_line_for_each_model() -> None:
    text = models_text(catalog.models(), TODAY)
    assert len(text.splitlines()) == len(catalog.models()) + 1
    line = next(line for line in text.splitlines() if "claude-3-haiku" in line)
    assert "gone" in line
    assert models_text([], TODAY).startswith("model")


def test_a_description_has_roads_with_states_recipes_and_hyperparameters_by_route() -> None:
    found = described(catalog.find("nova-textgeneration-micro"), TODAY)
    json.dumps(found)
    assert found["lifecycle"] == "active"
    assert [road["state"] for road in found["roads"]] == ["active", "active"]
    assert any(recipe["instances"] == ("ml.g5.12xlarge", "ml.g6.12xlarge") for recipe in found["recipes"])
    names = [row["name"] for row in found["hyperparameters"]["serverless"]["SFT-LORA"]["parameters"]]
    assert "max_epochs" in names
    assert "data_s3_path" not in names


def test_a_description_says_which_hyperparameters_are_not_known() -> None:
    found = described(catalog.find("huggingface-textgeneration1-gpt-j-6b"), TODAY)
    assert "none is guessed" in found["hyperparameters"]["jumpstart"]["unknown"]


def test_every_model_can_be_described() -> None:
    for model in catalog.models():
        assert described(model, TODAY)["model_id"] == model.model_id
