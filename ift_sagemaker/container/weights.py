"""Model folders in and out: safetensors alone, never a pickle, never code from a checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from ift_sagemaker.container.precision import Precision
from ift_sagemaker.errors import WeightsError
from ift_sagemaker.wire.artifact import CARD_FILE, ModelCard

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
SAVING = ".saving"
_SITE_SETTINGS = ("is_local", "local_files_only", "gguf_file")
"""How the tokenizer was loaded here, which transformers would write down as if it were the tokenizer's."""
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).exists()


def require_safetensors(folder: Path) -> None:
    """Raises WeightsError unless the folder holds safetensors, saying what it holds instead."""
    if not folder.is_dir():
        raise WeightsError(f"{folder} is not there; the channel with the model is missing")
    wanted = (folder / ADAPTER_WEIGHTS,) if is_adapter(folder) else tuple(folder.glob("*.safetensors"))
    if any(path.exists() for path in wanted):
        return
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    if pickled:
        raise WeightsError(
            f"{folder} holds {', '.join(pickled)}: pickled weights can run code and are never loaded; "
            "convert them to safetensors"
        )
    raise WeightsError(f"{folder} holds no *.safetensors file, so there is no model to load")


def load_tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_model(folder: Path, precision: Precision) -> Any:
    """The causal language model of a Hugging Face folder, in evaluation mode on the chosen device."""
    require_safetensors(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=precision.dtype,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
    )
    return model.to(precision.device).eval()


def load_tuned(folder: Path, base_folder: Path | None, precision: Precision) -> tuple[Any, Any]:
    """Model and tokenizer of what a training job left: a merged checkpoint, or an adapter over its base.

    Adapters are merged in memory, so both forms run equally fast. Raises TemplateMismatchError where the
    tokenizer's chat template is not the one that was trained with.
    """
    require_safetensors(folder)
    if not is_adapter(folder):
        tokenizer = _checked_tokenizer(folder, folder)
        return load_model(folder, precision), tokenizer
    if base_folder is None or not base_folder.is_dir():
        raise WeightsError(
            f"{folder} holds an adapter, which needs its base model; give the base as well "
            "(folder `base` beside it or IFT_BASE_MODEL_DIR), or train with merge_weights=True"
        )
    from ift_sagemaker.container.adapters import load_adapted, merged

    has_tokenizer = (folder / "tokenizer_config.json").exists()
    tokenizer = _checked_tokenizer(folder if has_tokenizer else base_folder, folder)
    adapted = load_adapted(load_model(base_folder, precision), folder)
    return merged(adapted).eval(), tokenizer


def _checked_tokenizer(folder: Path, model: Path) -> Any:
    """The tokenizer of `folder`, whose chat template is the one that `model` was trained with."""
    tokenizer = load_tokenizer(folder)
    card = ModelCard.read(model)
    if card is not None:
        card.check_templates(tokenizer.chat_template)
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json, the chat template inside the latter."""
    for name in _SITE_SETTINGS:
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(folder, save_jinja_files=False)


def save_checkpoint(model: Any, tokenizer: Any, stop_ids: frozenset[int], folder: Path) -> None:
    """A bfloat16 Hugging Face checkpoint whose generation config stops at every end token known here."""
    settings, stops = model.generation_config, sorted(stop_ids)
    if stops:
        settings.eos_token_id = stops[0] if len(stops) == 1 else stops
    if settings.pad_token_id is None and stops:
        settings.pad_token_id = stops[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    settings._from_model_config = False  # noqa: SLF001 - else transformers would write the old values again
    model.to(torch.bfloat16).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def make_readable(folder: Path) -> None:
    """Lets every user read the files: safetensors are written for their owner alone."""
    for path in folder.iterdir():
        path.chmod(0o644)


@contextmanager
def appearing_whole(folder: Path) -> Iterator[Path]:
    """A folder to write into; its files move into `folder` at the end, the model card last.

    It lies inside `folder`, which alone is sure to be writable; a kill before the end leaves no model.
    """
    saving = folder / SAVING
    shutil.rmtree(saving, ignore_errors=True)
    saving.mkdir(parents=True)
    try:
        yield saving
        make_readable(saving)
        for path in sorted(saving.iterdir(), key=lambda path: path.name == CARD_FILE):
            path.rename(folder / path.name)
    finally:
        shutil.rmtree(saving, ignore_errors=True)
