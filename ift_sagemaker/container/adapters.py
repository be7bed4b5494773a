"""Low-rank adapters: put on, merged, saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer

from ift_sagemaker.errors import ConfigError

ADAPTER = "default"


def with_adapter(model: Any, values: Mapping[str, Any]) -> Any:
    """The model with fresh float32 adapters on `target_modules`, everything else frozen.

    Over a base of lower precision it must run under autocast: the adapters then compute in the base's format
    too, which on a CPU is a fifth faster than PEFT's own way, casting every input to float32. Raises
    ConfigError where no module has such a name.
    """
    names = [name.strip() for name in values["target_modules"].split(",") if name.strip()]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=values["lora_r"],
        lora_alpha=values["lora_alpha"],
        lora_dropout=values["lora_dropout"],
        target_modules=names[0] if names == ["all-linear"] else names,
    )
    try:
        with _peft_asks_by_the_old_name():
            adapted = get_peft_model(model, config, adapter_name=ADAPTER)
    except ValueError as error:
        raise ConfigError(
            f"no adapters could be put on target_modules={values['target_modules']!r}: {error}",
            field="target_modules",
            value=values["target_modules"],
            allowed="all-linear, or names of linear modules of the model",
        ) from error
    for layer in _adapted_layers(adapted):
        layer.cast_input_dtype_enabled = False
    return adapted


def _adapted_layers(adapted: Any) -> list[Any]:
    return [module for module in adapted.modules() if isinstance(module, BaseTunerLayer)]


@contextmanager
def _peft_asks_by_the_old_name() -> Iterator[None]:
    """PEFT reads a property that newer transformers renamed and warns about; both names work."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def load_adapted(model: Any, folder: Path, name: str = ADAPTER) -> Any:
    """The base `model` with the adapters of `folder` on it; where it has some, these come beside them."""
    with _peft_asks_by_the_old_name():
        if isinstance(model, PeftModel):
            model.load_adapter(folder, adapter_name=name, local_files_only=True)
            return model
        return PeftModel.from_pretrained(model, folder, adapter_name=name, local_files_only=True)


@torch.no_grad()
def merged(adapted: Any) -> Any:
    """The base model with the adapters added to its weights, each sum taken in float32 and rounded once."""
    for layer in _adapted_layers(adapted):
        weight = layer.get_base_layer().weight
        total = weight.float() + layer.get_delta_weight(ADAPTER).float()
        weight.copy_(total.to(weight.dtype))
    return adapted.unload()


def save_adapter(adapted: Any, base_model_id: str, folder: Path) -> None:
    """adapter_model.safetensors and adapter_config.json, naming the base by its id, not by a folder."""
    adapted.peft_config[ADAPTER].base_model_name_or_path = base_model_id
    adapted.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # a form letter with nothing filled in
