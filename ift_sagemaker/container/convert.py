"""`convert`: a GGUF file to a bfloat16 Hugging Face checkpoint."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

from ift_sagemaker.container.encoding import stop_token_ids
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
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tokenizer.model_max_length = model.config.max_position_embeddings
    writing = target.with_name(f".{target.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    save_checkpoint(model, tokenizer, stop_token_ids(model.generation_config, tokenizer), writing)
    load_tokenizer(writing)  # a checkpoint whose tokenizer does not load must not get its name
    make_readable(writing)
    writing.replace(target)
    _tell(f"wrote {target}")


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


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress of a command
