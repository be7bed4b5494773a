"""Adapters on one base answer as the models that they would be merged into."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ift_sagemaker.container.adapter_choice import AdapterChoice, found_adapters, load_adapters
from ift_sagemaker.container.adapters import merged, save_adapter, with_adapter
from ift_sagemaker.container.engine import BatchingEngine
from ift_sagemaker.container.generation import GenerationRequest, generate
from ift_sagemaker.container.rounds import RoundDecoder
from ift_sagemaker.container.serve import ADAPTER_HEADER, ServedModel
from ift_sagemaker.container.slots import SlotDecoder
from ift_sagemaker.errors import TemplateMismatchError, WeightsError
from ift_sagemaker.wire.artifact import ModelCard
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters
from tests.unit.container.test_serve import CHAT, Server, running_server
from tests.unit.container.tiny import make_model, make_tokenizer

TOKENIZER = make_tokenizer()
NAMES = ("", "red.v1", "blue")
PROMPTS = ([5, 6, 7], [40, 41, 42, 43, 44, 45], [99])
RANKS = {"red.v1": 4, "blue": 8}


def adapted(name: str) -> Any:
    values = {"lora_r": RANKS[name], "target_modules": "q_proj,v_proj" if name == "blue" else "all-linear"}
    model = with_adapter(make_model(), parse_hyperparameters(values))
    generator = torch.Generator().manual_seed(len(name))
    for parameter_name, parameter in model.named_parameters():
        if "lora_" in parameter_name:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def folder(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with two adapters beside it."""
    model = tmp_path_factory.mktemp("served") / "model"
    shutil.copytree(base_folder, model)
    for name in RANKS:
        save_adapter(adapted(name), "a-base", model / "adapters" / name)
    return model


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    model = ServedModel(folder, {"IFT_DTYPE": "float32"})
    engine = BatchingEngine(model.load, on_failure=lambda: None)
    with running_server(engine, model) as running:
        while running.call("GET", "/ping")[0] != 200:
            assert engine.failure is None
        yield running


def merged_model(name: str) -> Any:
    return merged(adapted(name)) if name else make_model()


@pytest.mark.parametrize("kind", [RoundDecoder, SlotDecoder])
def test_two_adapters_on_one_base_answer_as_their_merged_models_do(
    folder: Path, kind: type[RoundDecoder | SlotDecoder]
) -> None:
    base = make_model()
    choice = load_adapters(base, TOKENIZER, found_adapters(folder))
    assert isinstance(choice, AdapterChoice)
    assert sorted(choice.names) == sorted(RANKS)
    requests = [
        GenerationRequest(prompt, 6 + 5 * place, adapter=name, ignore_eos=True)
        for place, prompt in enumerate(PROMPTS)
        for name in NAMES
    ]
    together = generate(kind(base, TOKENIZER, {2}, choice), requests)
    alone = [generate(kind(merged_model(r.adapter), TOKENIZER, {2}), [r])[0].text for r in requests]
    assert [answer.text for answer in together] == alone
    assert len({*alone[:3]}) == 3


def test_the_model_of_a_request_chooses_its_adapter(server: Server) -> None:
    texts = {}
    for name in NAMES:
        status, body = server.invoke(CHAT | {"model": name, "ignore_eos": True})
        assert (status, body["model"]) == (200, name)
        texts[name] = body["choices"][0]["message"]["content"]
    assert len({*texts.values()}) == 3
    headers = {ADAPTER_HEADER: "blue"}
    status, body, _ = server.call("POST", "/invocations", CHAT | {"ignore_eos": True}, headers)
    assert (status, body["model"]) == (200, "blue")
    assert body["choices"][0]["message"]["content"] == texts["blue"]


def test_an_unknown_adapter_is_not_found_and_those_there_are_named(server: Server) -> None:
    status, body = server.invoke(CHAT | {"model": "green"})
    assert (status, body["error"]["type"], body["error"]["param"]) == (404, "model_not_found", "model")
    assert "blue, red.v1" in body["error"]["message"]
    status, body, _ = server.call("POST", "/invocations", CHAT, {ADAPTER_HEADER: "green"})
    assert (status, body["error"]["type"]) == (404, "model_not_found")


def test_a_folder_of_adapters_alone_is_served_over_its_base(
    folder: Path, base_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "adapters", tmp_path / "adapters")
    model = ServedModel(tmp_path, {"IFT_DTYPE": "float32", "IFT_BASE_MODEL_DIR": str(base_folder)})
    request = GenerationRequest(PROMPTS[0], 6, adapter="blue", ignore_eos=True)
    wanted = generate(RoundDecoder(merged_model("blue"), TOKENIZER, {2}), [request])
    assert generate(model.load(), [request]) == wanted


def card(chat_template: str) -> ModelCard:
    return ModelCard("a-base", "adapter", False, 1, 1, None, {}, {}, None, chat_template)


def test_an_adapter_that_learnt_another_chat_template_is_not_served(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "adapters" / "other"
    shutil.copytree(folder / "adapters" / "blue", other)
    card("another").write(other)
    with pytest.raises(TemplateMismatchError):
        load_adapters(make_model(), TOKENIZER, found_adapters(tmp_path))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("use_dora", True), ("bias", "all"), ("modules_to_save", ["lm_head"]), ("peft_type", "IA3")],
)
def test_an_adapter_that_is_more_than_a_low_rank_sum_is_refused(
    folder: Path, tmp_path: Path, setting: str, value: Any
) -> None:
    other = tmp_path / "adapters" / "other"
    shutil.copytree(folder / "adapters" / "blue", other)
    config = other / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {setting: value}))
    with pytest.raises(WeightsError, match=setting):
        found_adapters(tmp_path)


def test_pickled_and_ill_named_adapters_are_refused(folder: Path, tmp_path: Path) -> None:
    ill = tmp_path / "adapters" / "a b"
    shutil.copytree(folder / "adapters" / "blue", ill)
    with pytest.raises(WeightsError, match="name"):
        found_adapters(tmp_path)
    pickled = ill.rename(ill.with_name("pickled"))
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    with pytest.raises(WeightsError, match="pickled"):
        found_adapters(tmp_path)


def test_an_adapter_of_another_shape_is_refused(folder: Path) -> None:
    wider = make_model()
    wider.config.hidden_size = 64
    wider = type(wider)(wider.config).eval()
    with pytest.raises(WeightsError, match="does not fit"):
        load_adapters(wider, TOKENIZER, found_adapters(folder))
