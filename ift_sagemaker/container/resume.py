"""Checkpoints that are whole, and whether one belongs to this run.

SageMaker copies `/opt/ml/checkpoints` to S3 while the job runs, deletions too, and back before a restart: a
folder that is being written must never carry a checkpoint's name.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ift_sagemaker.container.encoding import EncodedRow
from ift_sagemaker.errors import ConfigError

WRITING = ".writing"
RUN_FILE = "ift_run.json"
KEPT = 2
_NAME = re.compile(r"checkpoint-(\d+)")
_NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt", RUN_FILE)
_WEIGHTS = ("adapter_model.safetensors", "model.safetensors")
_INDEX = "model.safetensors.index.json"
_WITHOUT_EFFECT = ("save_steps", "merge_weights", "gradient_checkpointing", "dtype", "validation_split_ratio")
"""Hyperparameters that may differ on resuming: they do not decide which steps are taken."""


def run_fingerprint(values: Mapping[str, Any], rows: Iterable[EncodedRow]) -> str:
    """SHA-256 of what decides the course of a run: hyperparameters and the encoded training rows."""
    deciding = {name: value for name, value in values.items() if name not in _WITHOUT_EFFECT}
    digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode())
    for row in rows:
        digest.update(row.ids.tobytes())
        digest.update(repr(row.trained).encode())
    return digest.hexdigest()


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in the folder, oldest step first; torn ones are passed over."""
    named = [path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(filter(_is_whole, named), key=_step)


def _step(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _is_whole(path: Path) -> bool:
    files = {entry.name for entry in path.iterdir() if entry.stat().st_size > 0}
    return set(_NEEDED) <= files and _has_weights(path, files) and _is_json(path / "trainer_state.json")


def _has_weights(path: Path, files: Collection[str]) -> bool:
    """One file of weights, or all the parts that an index names."""
    if any(name in files for name in _WEIGHTS):
        return True
    if _INDEX not in files or not _is_json(path / _INDEX):
        return False
    parts = set(json.loads((path / _INDEX).read_text("utf-8")).get("weight_map", {}).values())
    return bool(parts) and parts <= set(files)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except ValueError:
        return False
    return True


def checkpoint_to_resume(folder: Path, fingerprint: str) -> Path | None:
    """The newest whole checkpoint, None where there is none.

    Raises ConfigError where it comes from other rows or hyperparameters, since going on from it would be
    neither of the two runs.
    """
    found = checkpoints(folder)
    if not found:
        return None
    newest = found[-1]
    if json.loads((newest / RUN_FILE).read_text("utf-8")).get("fingerprint") != fingerprint:
        raise ConfigError(
            f"{newest} comes from other rows or hyperparameters than this job's; "
            "give the job a checkpoint location of its own",
            field="CheckpointConfig",
            value=str(newest),
            allowed="an empty location, or checkpoints of the same run",
        )
    return newest


def recorded_dtype(folder: Path) -> str | None:
    """The number format of the newest whole checkpoint: a resumed run keeps it, whatever a new probe says."""
    found = checkpoints(folder)
    record = json.loads((found[-1] / RUN_FILE).read_text("utf-8")) if found else {}
    return record.get("dtype")


def publish(written: Path, folder: Path, record: Mapping[str, str]) -> None:
    """Gives a finished checkpoint its name in `folder` by a rename, and deletes all but the last few.

    `record` says which run it is of: its `fingerprint`, and the `dtype` it computes in.
    """
    (written / "training_args.bin").unlink(missing_ok=True)  # a pickle that nothing reads
    (written / RUN_FILE).write_text(json.dumps(dict(record)), encoding="utf-8")
    target = folder / written.name
    shutil.rmtree(target, ignore_errors=True)
    written.rename(target)
    for old in checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)
