"""Adapters beside one base, of which every request chooses its own: `adapters/NAME/` in a model folder.

Rows of different adapters are decoded together (PEFT's mixed batches): each goes through the base and its own
low-rank sum. The scheme is that of Chen et al., "Punica: Multi-Tenant LoRA Serving" (MLSys 2024).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ift_sagemaker.container.generation import Growing
from ift_sagemaker.container.weights import ADAPTER_CONFIG, require_safetensors
from ift_sagemaker.errors import WeightsError
from ift_sagemaker.wire.artifact import ModelCard

ADAPTERS = "adapters"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_BASE = "__base__"
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "use_dora": (False, None),
    "alora_invocation_tokens": (None,),
    "modules_to_save": (None, []),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
}
"""Settings of an adapter, with the values that leave it a low-rank sum and nothing else."""


class AdapterChoice:
    """A base model with adapters on it, none of them merged."""

    def __init__(self, adapted: Any, keys: Mapping[str, str]) -> None:
        self._adapted, self._keys = adapted, dict(keys)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def over(self, rows: Sequence[Growing]) -> Callable[..., Any]:
        """The forward pass of a batch of `rows`, each with the adapter that its request names, or none."""
        keys = [self._keys[row.request.adapter] if row.request.adapter else _BASE for row in rows]
        return partial(self._adapted, adapter_names=keys)


def found_adapters(folder: Path) -> list[Path]:
    """The folders of the adapters of a model folder, by name. Raises WeightsError for one that is none."""
    place = folder / ADAPTERS
    if not place.is_dir():
        return []
    found = sorted(path for path in place.iterdir() if path.is_dir())
    for path in found:
        if not _NAME.fullmatch(path.name):
            raise WeightsError(f"{path}: an adapter's name has letters, digits, '.', '_' and '-', at most 63")
        require_safetensors(path)
        _require_plain(path)
    return found


def load_adapters(model: Any, tokenizer: Any, folders: Sequence[Path]) -> AdapterChoice | None:
    """The adapters of `folders`, by their names, on `model`, which is changed; None where there are none.

    Raises WeightsError for one that does not fit the model, TemplateMismatchError for one that was trained
    with another chat template than `tokenizer` has.
    """
    from ift_sagemaker.container.adapters import load_adapted

    adapted, keys = None, {}
    for place, folder in enumerate(folders):
        card = ModelCard.read(folder)
        if card is not None:
            card.check_templates(tokenizer.chat_template)
        key = f"adapter_{place}"  # PEFT's names are those of modules: no dots
        try:
            adapted = load_adapted(model if adapted is None else adapted, folder, key)
        except (RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(f"{folder} does not fit the model: {error}") from error
        keys[folder.name] = key
    return None if adapted is None else AdapterChoice(adapted.eval(), keys)


def _require_plain(folder: Path) -> None:
    path = folder / ADAPTER_CONFIG
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} is no JSON object")
    for name, allowed in _PLAIN.items():
        value = config.get(name, allowed[0])
        if value not in allowed:
            raise WeightsError(
                f"{path}: {name}={value!r} is not supported beside other adapters; merge it into its base"
            )
