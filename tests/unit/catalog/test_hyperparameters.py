"""Hyperparameters per model: names, ranges, rules and the strings on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker import catalog
from ift_sagemaker.catalog.facts import load
from ift_sagemaker.catalog.hyperparameters import (
    Table,
    bedrock_table,
    jumpstart_table,
    recipe_table,
    to_bedrock,
    to_wire,
)
from ift_sagemaker.catalog.launch import launch, training_channel
from ift_sagemaker.catalog.recipes import recipes
from ift_sagemaker.errors import ConfigError, UnsupportedError


def _jumpstart(model_id: str) -> Table:
    return jumpstart_table(catalog.find(model_id))


def _recipe(model_id: str, technique: str = "SFT", peft: str = "LORA") -> Table:
    return recipe_table(catalog.find(model_id), recipes(model_id, technique, peft)[0])


LLAMA = "meta-textgeneration-llama-3-1-70b"
BERT = "huggingface-spc-bert-base-cased"


def test_llamas_defaults_are_its_specs() -> None:
    defaults = _jumpstart(LLAMA).defaults
    assert defaults["int8_quantization"] == "True"
    assert defaults["chat_template"] == "Llama3.1"
    assert to_wire(defaults)["learning_rate"] == "0.0001"
    assert _jumpstart("meta-textgeneration-llama-2-7b").defaults["enable_fsdp"] == "True"


def test_names_with_hyphens_stay_as_bert_has_them_and_underscores_are_told() -> None:
    table = _jumpstart(BERT)
    assert table.check({"adam-learning-rate": "3e-5", "batch-size": 16}) == {
        "adam-learning-rate": 3e-5,
        "batch-size": 16,
    }
    with pytest.raises(ConfigError, match="did you mean adam-learning-rate"):
        table.check({"learning_rate": 1e-4})
    with pytest.raises(ConfigError, match="did you mean batch-size"):
        table.check({"train_batch_size": 8})


def test_everything_wrong_is_told_at_once_with_what_is_allowed() -> None:
    with pytest.raises(ConfigError) as caught:
        _jumpstart(LLAMA).check({"epochs": 3, "learning_rate": 2, "lora_r": 0, "instruction_tuned": "maybe"})
    text = str(caught.value)
    assert "4 hyperparameters are wrong" in text
    assert "did you mean epoch?" in text
    assert "a number from 1e-08 to 1" in text
    assert "an integer of 1 or more" in text
    assert "one of True, False" in text
    assert caught.value.field == "epochs"


def test_truth_travels_as_the_words_true_and_false_in_any_spelling() -> None:
    table = _jumpstart(LLAMA)
    for given_value in (True, "true", "True"):
        assert to_wire(table.check({"instruction_tuned": given_value})) == {"instruction_tuned": "True"}
    assert to_wire(_recipe("huggingface-reasoning-qwen3-06b").check({"merge_weights": "false"})) == {
        "merge_weights": "False"
    }


def test_instruction_and_chat_tuning_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="at most one of them is True"):
        _jumpstart(LLAMA).check({"instruction_tuned": True, "chat_dataset": True})
    with pytest.raises(ConfigError, match="at most one of them is True"):
        _jumpstart("meta-textgeneration-llama-2-7b-f").check({"instruction_tuned": "True"})


def test_a_fraction_a_truth_or_not_a_number_is_no_integer() -> None:
    table = _jumpstart(LLAMA)
    for value in (1.5, True, "two", None, "nan"):
        with pytest.raises(ConfigError):
            table.check({"epoch": value})
    with pytest.raises(ConfigError):
        table.check({"learning_rate": "nan"})
    assert table.check({"epoch": 2.0}) == {"epoch": 2}


def test_recipes_take_enumerated_numbers_alone() -> None:
    table = _recipe("huggingface-reasoning-qwen3-06b")
    assert table.check({"lora_rank": "32", "learning_rate": 1e-5}) == {"lora_rank": 32, "learning_rate": 1e-5}
    with pytest.raises(ConfigError, match="one of 8, 16, 32, 64, 128"):
        table.check({"lora_rank": 12})


def test_what_the_plan_sets_is_nobody_elses() -> None:
    with pytest.raises(ConfigError, match="output_path: is set by the plan itself"):
        _recipe("huggingface-reasoning-qwen3-06b").check({"output_path": "s3://b/"})


def test_a_recipes_length_bounds_the_rows() -> None:
    with pytest.raises(ConfigError, match="holds 4096 at most"):
        _recipe("huggingface-reasoning-qwen3-06b").check(
            {"dataset_max_len": 8192}, at_most={"dataset_max_len": 4096}
        )


def test_nova_has_its_own_names_by_generation_and_technique() -> None:
    assert "max_epochs" in _recipe("nova-textgeneration-micro").defaults
    second = _recipe("nova-textgeneration-lite-v2").defaults
    assert "max_steps" in second
    assert "max_epochs" not in second
    assert "adam_beta" in _recipe("nova-textgeneration-pro", "DPO").defaults


def test_bedrocks_numbers_travel_without_an_exponent() -> None:
    table = bedrock_table(catalog.find("amazon.nova-micro-v1:0:128k"))
    typed = table.check({"learningRate": 1e-5, "epochCount": "3"})
    assert to_bedrock(typed) == {"learningRate": "0.00001", "epochCount": "3"}
    with pytest.raises(ConfigError, match="an integer from 1 to 5"):
        table.check({"epochCount": 6})
    titan = bedrock_table(catalog.find("amazon.titan-embed-image-v1:0"))
    assert titan.check({"epochCount": "auto"}) == {"epochCount": "Auto"}


@pytest.mark.parametrize(
    "model_id",
    [
        "huggingface-textgeneration1-gpt-j-6b",
        "huggingface-llm-falcon-7b-bf16",
        "huggingface-tc-bert-base-cased",
    ],
)
def test_a_list_that_is_not_at_hand_is_refused_with_what_is_missing_and_how_to_bring_it(
    model_id: str,
) -> None:
    with pytest.raises(UnsupportedError, match=r"not in this catalogue.*IFT_CATALOGUE"):
        _jumpstart(model_id)


def test_bedrocks_list_is_not_taken_over_from_a_sibling() -> None:
    with pytest.raises(UnsupportedError, match="no list of them is known"):
        bedrock_table(catalog.find("meta.llama3-3-70b-instruct-v1:0:128k"))


def test_mistrals_list_says_where_its_ranges_come_from() -> None:
    table = _jumpstart("huggingface-llm-mistral-7b")
    assert table.defaults["peft_type"] == "None"
    assert "inferred" in table.note


def test_every_list_holds_its_own_defaults_and_has_a_source_and_a_date() -> None:
    for key, row in load("hyperparameters.json").items():
        assert row["source"], key
        assert row["date"].startswith("20"), key
        assert len({entry["name"] for entry in row["parameters"]}) == len(row["parameters"]), key
    for model in catalog.models():
        for route in ("jumpstart", "bedrock"):
            try:
                table = {"jumpstart": jumpstart_table, "bedrock": bedrock_table}[route](model)
            except UnsupportedError:
                continue
            assert table.check(table.defaults).keys() == table.defaults.keys()
        for recipe in recipes(model.model_id):
            try:
                table = recipe_table(model, recipe)
            except UnsupportedError:
                continue
            assert table.check(table.defaults).keys() == table.defaults.keys()


@given(st.dictionaries(st.text(max_size=20), st.one_of(st.text(max_size=10), st.floats(), st.integers())))
def test_any_values_are_taken_whole_or_refused(values: dict[str, str | float | int]) -> None:
    table = _jumpstart(LLAMA)
    try:
        typed = table.check(values)
    except ConfigError:
        return
    assert typed.keys() == values.keys()


def test_training_specs_name_image_script_artefact_and_instances() -> None:
    for model_id in load("launch.json")["models"]:
        found = launch(catalog.find(model_id))
        assert found.script.endswith(".tar.gz")
        assert found.artifact or found.gated_artifacts
        assert found.default_instance in found.instances
        assert found.container["sagemaker_program"] == "transfer_learning.py"
        assert found.source
    with pytest.raises(UnsupportedError, match="not guessed"):
        launch(catalog.find("huggingface-llm-mistral-7b"))


def test_rows_travel_in_the_channel_that_the_family_reads() -> None:
    channels = {
        model_id: training_channel(catalog.find(model_id))
        for model_id in (LLAMA, BERT, "huggingface-llm-mistral-7b", "huggingface-textgeneration1-gpt-j-6b")
    }
    assert list(channels.values()) == ["training", "training", "train", "train"]
