from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from ift_sagemaker.container.precision import Precision
from ift_sagemaker.container.weights import (
    appearing_whole,
    load_model,
    load_tokenizer,
    require_safetensors,
    save_checkpoint,
)
from ift_sagemaker.errors import WeightsError
from tests.unit.container.tiny import CHATML, make_model, make_tokenizer

FLOAT32 = Precision(torch.device("cpu"), torch.float32, "test")


def test_pickled_weights_are_never_loaded(base_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(base_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").unlink()
    torch.save(make_model().state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="pickled weights can run code"):
        load_model(tmp_path, FLOAT32)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no \*\.safetensors"):
        require_safetensors(tmp_path)
    with pytest.raises(WeightsError, match="is not there"):
        require_safetensors(tmp_path / "absent")


def test_a_saved_checkpoint_is_bfloat16_and_complete(tmp_path: Path) -> None:
    save_checkpoint(make_model(), make_tokenizer(), frozenset({2, 9}), tmp_path)
    assert load_model(tmp_path, FLOAT32).config.vocab_size == 300
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    settings = json.loads((tmp_path / "generation_config.json").read_text())
    assert (settings["eos_token_id"], settings["pad_token_id"]) == ([2, 9], 2)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["chat_template"] == CHATML
    assert load_tokenizer(tmp_path).chat_template == CHATML
    assert not {path.suffix for path in tmp_path.iterdir()} - {".json", ".safetensors"}


def test_a_kill_while_saving_leaves_no_file_of_a_model(tmp_path: Path) -> None:
    def save_half() -> None:
        with appearing_whole(tmp_path) as saving:
            (saving / "model.safetensors").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_half()
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_behind_is_replaced_and_all_files_are_readable(tmp_path: Path) -> None:
    (tmp_path / ".saving").mkdir()
    (tmp_path / ".saving" / "old").touch()
    with appearing_whole(tmp_path) as saving:
        (saving / "config.json").touch(mode=0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o644
