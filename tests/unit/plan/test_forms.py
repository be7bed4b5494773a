"""Rows in the form that a route takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ift_sagemaker import catalog
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import ConfigError, DatasetError, UnsupportedError
from ift_sagemaker.plan.forms import form_of, pictures_from, refuse_second_labels, rows_of
from ift_sagemaker.plan.reading import rows_in_form

ALPACA = [{"instruction": f"Say {number}", "input": "now", "output": str(number)} for number in range(10)]
CHAT = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
INFO = b'{"instance_prompt": "a photo of sks dog"}'


def _form(model_id: str, route: str, written: str) -> str:
    model = catalog.find(model_id)
    road = model.road(route)
    assert road is not None
    return form_of(model, road, written)


@pytest.mark.parametrize(
    ("model_id", "route", "written", "form"),
    [
        ("meta-textgeneration-llama-2-7b", "jumpstart", "alpaca", "jumpstart-instruction"),
        ("meta-textgeneration-llama-2-7b", "jumpstart", "chat", "jumpstart-chat"),
        ("meta-textgeneration-llama-2-7b", "jumpstart", "text", "domain-text"),
        ("huggingface-tc-bert-base-cased", "jumpstart", "label", "bert"),
        ("huggingface-tc-bert-base-cased", "jumpstart", "alpaca", "bert"),
        ("huggingface-spc-bert-base-cased", "jumpstart", "label", "bert"),
        ("nova-textgeneration-pro", "serverless", "alpaca", "bedrock-nova"),
        ("huggingface-reasoning-qwen3-06b", "serverless", "alpaca", "prompt-completion"),
        ("amazon.nova-pro-v1:0:300k", "bedrock", "chat", "bedrock-nova"),
        ("meta.llama3-1-8b-instruct-v1:0:128k", "bedrock", "alpaca", "bedrock-prompt-completion"),
        ("meta.llama3-3-70b-instruct-v1:0:128k", "bedrock", "alpaca", "bedrock-converse"),
        ("gpt-4.1-2025-04-14", "export", "chat", "openai"),
        ("anthropic.claude-3-haiku-20240307-v1:0:200k", "export", "chat", "anthropic"),
    ],
)
def test_each_route_has_the_form_that_its_family_reads(
    model_id: str, route: str, written: str, form: str
) -> None:
    assert _form(model_id, route, written) == form


@pytest.mark.parametrize(
    ("model_id", "route", "written"),
    [
        ("huggingface-spc-bert-base-cased", "jumpstart", "alpaca"),
        ("huggingface-eqa-bert-base-cased", "jumpstart", "alpaca"),
        ("huggingface-text2text-flan-t5-base", "jumpstart", "chat"),
        ("amazon.titan-embed-image-v1:0", "bedrock", "alpaca"),
    ],
)
def test_rows_that_nothing_here_writes_are_refused_by_their_task(
    model_id: str, route: str, written: str
) -> None:
    with pytest.raises(UnsupportedError, match="written yet"):
        _form(model_id, route, written)


def test_rows_are_written_with_their_template_and_named_by_their_content() -> None:
    rows = rows_of(InstructionDataset.from_rows(ALPACA), "jumpstart-instruction")
    assert rows.count == 10
    assert set(rows.files) == {"train.jsonl", "template.json"}
    assert rows_of(InstructionDataset.from_rows(ALPACA), "jumpstart-instruction") == rows
    assert rows_of(InstructionDataset.from_rows(ALPACA[1:]), "jumpstart-instruction") != rows


def test_too_few_rows_are_refused_but_not_where_they_are_held_out() -> None:
    few = InstructionDataset.from_rows(ALPACA[:3])
    with pytest.raises(DatasetError, match="takes no fewer than 8"):
        rows_of(few, "bedrock-nova")
    assert rows_of(few, "bedrock-nova", held_out=True).count == 3


def test_a_row_that_a_service_would_refuse_is_named() -> None:
    reserved = [*ALPACA, {"instruction": "User: who?", "output": "x"}]
    with pytest.raises(DatasetError, match="reserved word"):
        rows_of(InstructionDataset.from_rows(reserved), "bedrock-nova")


def test_rows_of_another_kind_than_the_target_is_made_of_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot become domain-text"):
        rows_of(InstructionDataset.from_rows(CHAT), "domain-text")


def test_a_file_becomes_what_its_model_reads(tmp_path: Path) -> None:
    labelled = tmp_path / "rows.jsonl"
    pairs = [
        {"label": "yes", "text": "a", "second_text": "b"},
        {"label": "no", "text": "c", "second_text": "d"},
    ]
    labelled.write_text("\n".join(map(json.dumps, pairs)))
    model = catalog.find("huggingface-spc-bert-base-cased")
    form, rows = rows_in_form(labelled, model, model.roads[0])
    assert form == "bert"
    assert rows.files["data.csv"] == b"0,a,b\n1,c,d\n"
    plain = tmp_path / "plain.jsonl"
    plain.write_text("\n".join(map(json.dumps, ALPACA)))
    llama = catalog.find("meta-textgeneration-llama-2-7b")
    assert rows_in_form(plain, llama, llama.roads[0])[0] == "jumpstart-instruction"


def test_held_out_labels_are_refused_as_their_numbers_would_mean_other_things() -> None:
    with pytest.raises(UnsupportedError, match="labelled"):
        refuse_second_labels("bert", validation=True)
    refuse_second_labels("bert", validation=False)


def test_a_folder_of_pictures_with_its_prompt_is_taken_whole(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"x")
    (tmp_path / "dataset_info.json").write_bytes(INFO)
    model = catalog.find("model-txt2img-stabilityai-stable-diffusion-v2-1-base")
    form, rows = rows_in_form(tmp_path, model, model.roads[0])
    assert (form, rows.count, set(rows.files)) == ("images", 1, {"one.png", "dataset_info.json"})


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"dataset_info.json": INFO}, "has no picture"),
        ({"a.png": b"x"}, "dataset_info.json"),
        ({"a.png": b"x", "dataset_info.json": b"{}"}, "instance_prompt"),
        ({"a.png": b"x", "dataset_info.json": b"nothing"}, "instance_prompt"),
        ({"a.png": b"x", "dataset_info.json": INFO, "notes.txt": b""}, "notes.txt"),
    ],
)
def test_a_folder_of_pictures_is_told_all_that_is_wrong(files: dict[str, bytes], told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        pictures_from("folder", files)


def test_a_model_of_pictures_takes_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ALPACA)))
    model = catalog.find("model-txt2img-stabilityai-stable-diffusion-v2-1-base")
    with pytest.raises(DatasetError, match="folder of pictures"):
        rows_in_form(path, model, model.roads[0])
