"""What a job is given: hyperparameters and rows."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ift_sagemaker.errors import ConfigError, DatasetError, UnsupportedError
from ift_sagemaker.wire.hyperparameters import (
    TRAINING_HYPERPARAMETERS,
    Hyperparameter,
    parse_hyperparameters,
)
from ift_sagemaker.wire.paths import CHANNEL_TRAINING, CHANNEL_VALIDATION, MLPaths
from ift_sagemaker.wire.rows import Message, read_channel, to_messages
from ift_sagemaker.wire.template import PromptTemplate

_PLATFORM_PREFIXES = ("sagemaker_", "SM_")


@dataclass(frozen=True)
class Conversations:
    """The rows of a job as chat messages, some of them held out."""

    training: Sequence[Sequence[Message]]
    validation: Sequence[Sequence[Message]]
    template: PromptTemplate | None


def read_hyperparameters(
    path: Path, table: tuple[Hyperparameter, ...] = TRAINING_HYPERPARAMETERS
) -> dict[str, Any]:
    """Typed values of hyperparameters.json, without those the platform's own tools add."""
    if not path.exists():
        return parse_hyperparameters({}, table)
    try:
        given = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}", field="hyperparameters") from error
    if not isinstance(given, dict):
        raise ConfigError(f"{path} must hold one JSON object", field="hyperparameters")
    own = {name: value for name, value in given.items() if not name.startswith(_PLATFORM_PREFIXES)}
    return parse_hyperparameters(own, table)


def refuse_many_hosts(path: Path) -> None:
    """Raises UnsupportedError where resourceconfig.json names several instances."""
    if not path.exists():
        return
    hosts = json.loads(path.read_text("utf-8")).get("hosts", [])
    if len(hosts) > 1:
        raise UnsupportedError(
            f"the job has {len(hosts)} instances and this program trains on one; set the instance count to 1",
            feature="training on several instances",
        )


def read_conversations(paths: MLPaths, values: Mapping[str, Any]) -> Conversations:
    """Rows of the training channel, and those held out: the validation channel or a seeded share."""
    training, template = read_conversation_rows(paths.channel(CHANNEL_TRAINING), None)
    held_out_folder = paths.channel(CHANNEL_VALIDATION)
    if held_out_folder.is_dir():
        validation, _ = read_conversation_rows(held_out_folder, template)
        return Conversations(training, validation, template)
    kept, held_out = split_rows(len(training), values["validation_split_ratio"], values["seed"])
    return Conversations(
        [training[index] for index in kept], [training[index] for index in held_out], template
    )


def read_conversation_rows(
    folder: Path, default_template: PromptTemplate | None
) -> tuple[list[list[Message]], PromptTemplate | None]:
    rows, template = read_channel(folder) if folder.is_dir() else ([], None)
    if not rows:
        raise DatasetError(f"channel {folder.name!r} holds no rows (*.jsonl)", path=str(folder))
    template = template or default_template
    bare = [number for number, row in enumerate(rows, start=1) if not isinstance(row.get("messages"), list)]
    if template is None and bare:
        raise DatasetError(
            f"there is no template.json, and {len(bare)} rows of channel {folder.name!r} have no `messages`, "
            f"first row {bare[0]}",
            path=str(folder),
            findings=bare,
        )
    return [to_messages(row, template) for row in rows], template


def split_rows(count: int, ratio: float, seed: int) -> tuple[list[int], list[int]]:
    """Row numbers to train on and to hold out; at least one of each where a share is asked for."""
    if ratio <= 0:
        return list(range(count)), []
    if count < 2:
        raise DatasetError("one row cannot be split; give more rows or validation_split_ratio=0")
    size = min(max(1, round(count * ratio)), count - 1)
    held_out = set(random.Random(seed).sample(range(count), size))  # noqa: S311 - repeatable, not secret
    return [index for index in range(count) if index not in held_out], sorted(held_out)
