from __future__ import annotations

from pathlib import Path

import pytest

from ift_sagemaker.container.resume import (
    checkpoint_to_resume,
    checkpoints,
    publish,
    recorded_dtype,
    run_fingerprint,
)
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters
from tests.unit.container.tiny import encoded

FILES = (
    "trainer_state.json",
    "optimizer.pt",
    "scheduler.pt",
    "adapter_model.safetensors",
    "training_args.bin",
)


def written(folder: Path, step: int) -> Path:
    """A checkpoint as Trainer leaves it, before it is published."""
    path = folder / ".writing" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in FILES:
        (path / name).write_text("{}")
    return path


def test_the_newest_whole_checkpoint_is_resumed(tmp_path: Path) -> None:
    for step in (9, 10):
        publish(written(tmp_path, step), tmp_path, {"fingerprint": "print", "dtype": "bfloat16"})
    found = checkpoint_to_resume(tmp_path, "print")
    assert found is not None
    assert found.name == "checkpoint-10"


@pytest.mark.parametrize("torn", ["trainer_state.json", "optimizer.pt", "adapter_model.safetensors"])
def test_a_torn_checkpoint_is_passed_over(tmp_path: Path, torn: str) -> None:
    for step in (1, 2, 3):
        publish(written(tmp_path, step), tmp_path, {"fingerprint": "print", "dtype": "bfloat16"})
    (tmp_path / "checkpoint-3" / torn).unlink()
    (tmp_path / "checkpoint-2" / "trainer_state.json").write_text('{"half')
    assert checkpoint_to_resume(tmp_path, "print") is None
    publish(written(tmp_path, 1), tmp_path, {"fingerprint": "print", "dtype": "bfloat16"})
    found = checkpoint_to_resume(tmp_path, "print")
    assert found is not None
    assert found.name == "checkpoint-1"


def test_an_empty_file_counts_as_torn(tmp_path: Path) -> None:
    publish(written(tmp_path, 4), tmp_path, {"fingerprint": "print", "dtype": "bfloat16"})
    (tmp_path / "checkpoint-4" / "optimizer.pt").write_bytes(b"")
    assert checkpoints(tmp_path) == []


def test_only_the_last_two_are_kept_and_no_pickle_of_the_arguments(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        publish(written(tmp_path, step), tmp_path, {"fingerprint": "print", "dtype": "bfloat16"})
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-3", "checkpoint-10"]
    assert not list(tmp_path.glob("*/training_args.bin"))


def test_checkpoints_of_another_run_are_refused(tmp_path: Path) -> None:
    publish(written(tmp_path, 1), tmp_path, {"fingerprint": "print", "dtype": "bfloat16"})
    with pytest.raises(ConfigError, match="other rows or hyperparameters"):
        checkpoint_to_resume(tmp_path, "other")


def test_a_folder_without_checkpoints_starts_anew(tmp_path: Path) -> None:
    assert checkpoint_to_resume(tmp_path / "absent", "print") is None


def test_the_fingerprint_knows_rows_and_what_decides_the_steps() -> None:
    values = parse_hyperparameters({})
    rows = encoded([("a", "b")])
    mine = run_fingerprint(values, rows)
    assert mine == run_fingerprint({**values, "save_steps": 7}, rows)
    assert mine != run_fingerprint({**values, "learning_rate": 1e-5}, rows)
    assert mine != run_fingerprint(values, encoded([("a", "c")]))


def test_a_resumed_run_keeps_its_number_format(tmp_path: Path) -> None:
    assert recorded_dtype(tmp_path) is None
    publish(written(tmp_path, 1), tmp_path, {"fingerprint": "print", "dtype": "bfloat16"})
    assert recorded_dtype(tmp_path) == "bfloat16"


def test_a_checkpoint_in_parts_is_whole_with_all_of_them(tmp_path: Path) -> None:
    publish(written(tmp_path, 1), tmp_path, {"fingerprint": "print", "dtype": "float32"})
    (folder,) = checkpoints(tmp_path)
    for name in ("adapter_model.safetensors", "model.safetensors"):
        (folder / name).unlink(missing_ok=True)
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}'
    )
    (folder / "1.safetensors").write_bytes(b"x")
    assert checkpoints(tmp_path) == []
    (folder / "2.safetensors").write_bytes(b"x")
    assert checkpoints(tmp_path) == [folder]
