"""Weights that stand in for those that only AWS has: a checkpoint of the user's own, or a catalogue id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ift_sagemaker.catalog.weights import WANTED_SUFFIXES, Tell, Weights, content_hash, describe
from ift_sagemaker.errors import WeightsError


class Cache(Protocol):
    """The part of WeightsCache that is asked here."""

    def find(self, model_id: str) -> Weights | None: ...

    def pull(self, model_id: str, progress: Tell | None = None) -> Weights: ...


def stand_in_weights(named: str | Path, cache: Cache, tell: Tell | None = None) -> Weights:
    """The weights of a folder, called by its name, or those of a catalogue id, fetched where missing.

    Of a folder the files of a Hugging Face checkpoint are taken alone. Raises WeightsError where it holds
    none, ModelNotFoundError for a name that is neither folder nor id.
    """
    folder = Path(named).expanduser()
    if not folder.is_dir():
        found = cache.find(str(named)) or cache.pull(str(named), tell)
        return replace(found, model_id=str(named))
    return _of_folder(folder.resolve())


def _of_folder(folder: Path) -> Weights:
    described = describe(folder.name, folder)
    files = tuple(file for file in described.files if file.path.endswith(WANTED_SUFFIXES))
    names = {file.path for file in files}
    missing = [name for name in ("config.json", "tokenizer.json") if name not in names]
    if not any("/" not in name and name.endswith(".safetensors") for name in names):
        missing.append("*.safetensors")
    if missing:
        raise WeightsError(f"{folder} is no checkpoint: no {', '.join(missing)}", model_id=folder.name)
    return Weights(folder.name, folder, files, content_hash(files), str(folder))
