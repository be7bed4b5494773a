from __future__ import annotations

from dataclasses import asdict

import pytest

from ift_sagemaker import catalog
from ift_sagemaker.errors import ModelNotFoundError


def test_smollm2_can_be_launched_and_says_what_it_is() -> None:
    model = catalog.find("smollm2-135m-instruct")
    assert (model.route, model.licence, model.gated) == ("container", "Apache-2.0", False)
    assert (model.context_length, round(model.parameters / 1e6, 1)) == (8192, 134.5)
    assert model.hub_id == "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.parametrize("name", ["SmolLM2-135M-Instruct", "huggingfacetb/smollm2-135m-instruct"])
def test_a_model_is_found_in_any_case_and_by_its_hub_id(name: str) -> None:
    assert catalog.find(name).model_id == "smollm2-135m-instruct"


def test_a_near_miss_is_told_the_closest_id() -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean smollm2-135m-instruct") as caught:
        catalog.find("smolm2-135-instruct")
    assert caught.value.closest == ("smollm2-135m-instruct",)


@pytest.mark.parametrize("name", ["claude-3-haiku", "nova-lite", "", "../x"])
def test_a_family_that_is_only_compared_is_unknown_here_and_the_way_is_told(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="ift models compare"):
        catalog.find(name)


def test_every_model_has_a_source_a_date_and_unique_id() -> None:
    found = catalog.models()
    assert len({model.model_id for model in found}) == len(found) >= 1
    for model in found:
        assert all(value is False or value for value in asdict(model).values())
        assert model.date.startswith("20")
