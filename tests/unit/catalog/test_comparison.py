from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ift_sagemaker.catalog import compare
from ift_sagemaker.catalog.facts import load
from ift_sagemaker.errors import ConfigError, ModelNotFoundError


def test_all_families_have_all_fifteen_features() -> None:
    frame = compare()
    assert frame.shape == (15, 9)
    assert (frame.map(len) > 0).all().all()


def test_named_families_are_the_columns_in_the_order_asked() -> None:
    frame = compare("Llama", "claude", "stable_diffusion")
    assert list(frame.columns) == ["llama", "claude", "stable-diffusion"]
    assert "Fine-Tuning Support" in frame.index


def test_every_cell_has_a_source_a_date_and_its_confidence() -> None:
    frame = compare()
    cells = [cell for family in frame.attrs["sources"].values() for cell in family.values()]
    assert len(cells) == 15 * 9
    assert {cell["confidence"] for cell in cells} == {"read", "general knowledge"}
    for cell in cells:
        assert cell["source"]
        assert "2025-01-01" < cell["date"] <= frame.attrs["as_of"]
        assert (cell["source"] == "general knowledge") == (cell["confidence"] == "general knowledge")


def test_what_was_wrong_in_2023_is_named_beside_what_corrects_it() -> None:
    sources = compare().attrs["sources"]
    assert sources["claude"]["Fine-Tuning Support"]["corrects"] == "yes"
    assert sources["llama"]["Commercial Use"]["corrects"] == "non-commercial"
    assert "corrects" not in sources["smollm2"]["Pricing"]


def test_titan_stands_for_nova_and_a_note_says_why() -> None:
    frame = compare("titan", "nova")
    assert list(frame.columns) == ["nova"]
    assert "Titan Text is gone" in frame.attrs["notes"]["titan"]
    assert compare("nova").attrs["notes"] == {}


def test_features_can_be_chosen_in_any_case() -> None:
    assert list(compare("bert", features=["model size", "Developer"]).index) == ["Model Size", "Developer"]


def test_what_goes_with_the_table_is_plain_data() -> None:
    attrs = compare("qwen").attrs
    assert json.loads(json.dumps(attrs)) == attrs


def test_an_unknown_family_is_told_the_closest() -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean mistral"):
        compare("mistrl")


def test_an_unknown_feature_is_told_all_features() -> None:
    with pytest.raises(ConfigError, match="Primary Use Case"):
        compare(features=["Colour"])


def test_the_facts_are_not_changed_by_a_caller() -> None:
    before = json.dumps(load("comparison.json"))
    frame = compare()
    frame.loc[:, "nova"] = "x"
    frame.attrs["sources"]["nova"]["Pricing"]["source"] = "x"
    assert json.dumps(load("comparison.json")) == before


def test_importing_the_room_imports_no_pandas() -> None:
    code = "import sys, ift_sagemaker.catalog; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
