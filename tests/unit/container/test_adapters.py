from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ift_sagemaker.container.adapters import merged, save_adapter, with_adapter
from ift_sagemaker.container.precision import Precision
from ift_sagemaker.container.weights import load_tuned, save_tokenizer
from ift_sagemaker.errors import ConfigError, WeightsError
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters
from tests.unit.container.tiny import make_model, make_tokenizer

IDS = torch.tensor([[5, 6, 7, 80, 90]])
FLOAT32 = Precision(torch.device("cpu"), torch.float32, "test")


def adapted(model: Any | None = None, **values: Any) -> Any:
    """A model whose adapters do something: their zero halves are filled."""
    changed = with_adapter(model or make_model(), parse_hyperparameters({"lora_r": 4, **values}))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in changed.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return changed.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        values: torch.Tensor = model(input_ids=IDS).logits
    return values


def test_the_merged_model_answers_as_base_plus_adapter() -> None:
    model = adapted()
    wanted = logits(model)
    assert not torch.allclose(wanted, logits(make_model()), atol=1e-2)
    torch.testing.assert_close(logits(merged(model)), wanted, rtol=1e-4, atol=1e-4)


def test_merging_into_bfloat16_rounds_the_exact_sum_once() -> None:
    model = adapted(make_model().to(torch.bfloat16))
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    scale = 32 / 4
    delta = scale * (layer.lora_B["default"].weight @ layer.lora_A["default"].weight)
    wanted = (layer.get_base_layer().weight.float() + delta).to(torch.bfloat16)
    assert torch.equal(merged(model).model.layers[0].self_attn.q_proj.weight, wanted)


def test_only_the_adapters_learn_and_they_are_float32() -> None:
    model = adapted(make_model().to(torch.bfloat16))
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(learning) == 2 * 2 * 7
    assert {parameter.dtype for parameter in learning} == {torch.float32}


def test_target_modules_can_be_named() -> None:
    names = {
        name for name, _ in adapted(target_modules="q_proj, v_proj").named_parameters() if "lora_A" in name
    }
    assert len(names) == 4


def test_module_names_that_fit_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="target_modules='c_attn'"):
        adapted(target_modules="c_attn")


def test_a_saved_adapter_names_its_base_by_id_and_loads_again(base_folder: Path, tmp_path: Path) -> None:
    model = adapted()
    wanted = logits(model)
    save_adapter(model, "tiny-llama", tmp_path)
    save_tokenizer(make_tokenizer(), tmp_path)
    assert (
        json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny-llama"
    )
    loaded, _ = load_tuned(tmp_path, base_folder, FLOAT32)
    torch.testing.assert_close(logits(loaded), wanted, rtol=1e-4, atol=1e-4)


def test_an_adapter_without_its_base_is_refused_with_the_way_out(tmp_path: Path) -> None:
    save_adapter(adapted(), "tiny-llama", tmp_path)
    with pytest.raises(WeightsError, match="IFT_BASE_MODEL_DIR"):
        load_tuned(tmp_path, None, FLOAT32)
