from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.container.tiny import save_base

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Hugging Face checkpoint with tokenizer."""
    return save_base(tmp_path_factory.mktemp("base"))
