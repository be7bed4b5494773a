"""`convert`: a GGUF file to a bfloat16 Hugging Face checkpoint."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

from ift_sagemaker.container.encoding import stop_token_ids
from ift_sagemaker.container.gguf_tokenizer import read_tokenizer
from ift_sagemaker.container.weights import load_tokenizer, make_readable, save_checkpoint
from ift_sagemaker.errors import IFTError, WeightsError


def convert_command(source: str, target: str) -> int:
    """Exit code; what went wrong and the progress are told on standard error."""
    try:
        convert(Path(source), Path(target))
    except (IFTError, OSError, ValueError) as error:
        _tell(f"cannot convert {source}: {error}")
        return 1
    return 0


def convert(source: Path, target: Path) -> None:
    """Writes the checkpoint to `target`, which must not exist or be empty; it appears whole or not at all.

    Equal sources give equal files. Raises WeightsError where the file is no GGUF or the target is taken.
    """
    with source.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise WeightsError(f"{source} is not a GGUF file")
    if target.exists() and any(target.iterdir()):
        raise WeightsError(f"{target} is not empty; remove it or choose another folder")
    transformers.utils.logging.disable_progress_bar()
    _tell(f"reading {source.name}")
    folder, name = str(source.parent.resolve()), source.name
    model = _clean(transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name))
    _tell("reading its tokenizer")
    tokenizer = read_tokenizer(source, model.config.max_position_embeddings)
    _agree_on_special_tokens(model, tokenizer)
    writing = target.with_name(f".{target.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    save_checkpoint(model, tokenizer, stop_token_ids(model.generation_config, tokenizer), writing)
    for name in ("config.json", "generation_config.json"):
        _forget_version(writing / name)
    load_tokenizer(writing)  # a checkpoint whose tokenizer does not load must not get its name
    make_readable(writing)
    writing.replace(target)
    _tell(f"wrote {target}")


def _agree_on_special_tokens(model: Any, tokenizer: Any) -> None:
    """Makes configuration and generation stop where the tokenizer says."""
    for settings in (model.config, model.generation_config):
        settings.bos_token_id = tokenizer.bos_token_id
        settings.eos_token_id = tokenizer.eos_token_id
        settings.pad_token_id = tokenizer.pad_token_id


def _clean(model: Any) -> Any:
    """The same weights under a configuration that knows nothing of GGUF.

    save_pretrained refuses a model that still carries the gguf `quantization_config`.
    """
    settings = model.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        settings.pop(name, None)
    fresh = type(model)(type(model.config).from_dict(settings)).to(torch.float32)
    fresh.load_state_dict(model.state_dict())
    fresh.tie_weights()
    return fresh


def _forget_version(path: Path) -> None:
    """Takes out the one entry that would make equal conversions differ between releases of transformers."""
    values = json.loads(path.read_text("utf-8"))
    values.pop("transformers_version", None)
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress of a command
