"""What a job is given: hyperparameters and rows."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ift_sagemaker.container import jumpstart
from ift_sagemaker.container.lifecycle import say
from ift_sagemaker.errors import ConfigError, DatasetError, UnsupportedError
from ift_sagemaker.wire.hyperparameters import (
    TRAINING_HYPERPARAMETERS,
    Hyperparameter,
    parse_hyperparameters,
)
from ift_sagemaker.wire.paths import CHANNEL_TRAINING, CHANNEL_VALIDATION, MLPaths
from ift_sagemaker.wire.rows import Message, read_channel, to_messages
from ift_sagemaker.wire.template import PromptTemplate

JUMPSTART_CHANNEL_TRAIN = "train"
"""What some of JumpStart's scripts call the channel of rows."""
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
    return parse_hyperparameters(_own(_given(path)), table)


def read_training_hyperparameters(path: Path) -> dict[str, Any]:
    """As `read_hyperparameters`, of our own table; values meant for JumpStart's scripts are taken too."""
    given = _given(path)
    if not jumpstart.is_jumpstarts(given):
        return parse_hyperparameters(_own(given))
    values, passed_over = jumpstart.followed(_own(given))
    if passed_over:
        say(f"hyperparameters of JumpStart's script that are not followed here: {', '.join(passed_over)}")
    return parse_hyperparameters(values)


def _own(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if not name.startswith(_PLATFORM_PREFIXES)}


def _given(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        given = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}", field="hyperparameters") from error
    if not isinstance(given, dict):
        raise ConfigError(f"{path} must hold one JSON object", field="hyperparameters")
    return given


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
    folder = paths.channel(CHANNEL_TRAINING)
    if not folder.is_dir() and paths.channel(JUMPSTART_CHANNEL_TRAIN).is_dir():
        folder = paths.channel(JUMPSTART_CHANNEL_TRAIN)
    training, template = read_conversation_rows(folder, None)
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
    rows = [_as_messages(row) for row in rows]
    bare = [number for number, row in enumerate(rows, start=1) if not isinstance(row.get("messages"), list)]
    if template is None and bare:
        raise DatasetError(
            f"there is no template.json, and {len(bare)} rows of channel {folder.name!r} have no `messages`, "
            f"first row {bare[0]}",
            path=str(folder),
            findings=bare,
        )
    return [to_messages(row, template) for row in rows], template


def _as_messages(row: dict[str, Any]) -> dict[str, Any]:
    """JumpStart's chat rows call the turns `dialog`."""
    if isinstance(row.get("dialog"), list) and "messages" not in row:
        return {**row, "messages": row["dialog"]}
    return row


def split_rows(count: int, ratio: float, seed: int) -> tuple[list[int], list[int]]:
    """Row numbers to train on and to hold out; at least one of each where a share is asked for."""
    if ratio <= 0:
        return list(range(count)), []
    if count < 2:
        raise DatasetError("one row cannot be split; give more rows or validation_split_ratio=0")
    size = min(max(1, round(count * ratio)), count - 1)
    held_out = set(random.Random(seed).sample(range(count), size))  # noqa: S311 - repeatable, not secret
    return [index for index in range(count) if index not in held_out], sorted(held_out)
