"""Weights that stand in for those that only AWS has."""

from __future__ import annotations

from pathlib import Path

import pytest

from ift_sagemaker.catalog.stand_ins import stand_in_weights
from ift_sagemaker.catalog.weights import WeightsCache
from ift_sagemaker.errors import ModelNotFoundError, WeightsError


def test_of_a_folder_the_checkpoint_is_taken_alone_under_the_folders_name(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors", "README.md", "pytorch_model.bin"):
        (folder / name).write_text(name)
    found = stand_in_weights(folder, WeightsCache(tmp_path, fetchers=[]))
    assert found.model_id == "mine"
    assert {file.path for file in found.files} == {"config.json", "tokenizer.json", "model.safetensors"}
    (folder / "README.md").write_text("changed")
    assert stand_in_weights(str(folder), WeightsCache(tmp_path, fetchers=[])).content_hash == (
        found.content_hash
    )
    (folder / "config.json").write_text("changed")
    assert stand_in_weights(folder, WeightsCache(tmp_path, fetchers=[])).content_hash != found.content_hash


def test_a_folder_without_a_checkpoint_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"no tokenizer\.json, \*\.safetensors"):
        stand_in_weights(tmp_path, WeightsCache(tmp_path, fetchers=[]))


def test_a_name_that_is_neither_folder_nor_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        stand_in_weights("no-such-folder", WeightsCache(tmp_path, fetchers=[]))
