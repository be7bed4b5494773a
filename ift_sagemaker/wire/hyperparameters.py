"""Hyperparameters of this project's own program, under JumpStart's names.

The SDK checks a job's values with this table before it sends them; the program reads them back with the
same table. Every value travels as a string, booleans as "True" and "False", as JumpStart does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ift_sagemaker.errors import ConfigError

_TYPE_NAMES: dict[type, str] = {int: "an integer", float: "a number", bool: "True or False", str: "a text"}


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter: `minimum` and `maximum` are inclusive, `options` lists the only allowed values."""

    name: str
    kind: type
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    options: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        if self.options:
            return "one of " + ", ".join(self.options)
        if self.minimum is not None or self.maximum is not None:
            return f"{_TYPE_NAMES[self.kind]} from {self.minimum:g} to {self.maximum:g}"
        return _TYPE_NAMES[self.kind]

    def parse(self, value: Any) -> Any:
        """The typed value of a string (or of a value already typed); raises ConfigError with the range."""
        parsed = self._typed(value)
        in_range = (self.minimum is None or parsed >= self.minimum) and (
            self.maximum is None or parsed <= self.maximum
        )
        if not in_range or (self.options and parsed not in self.options):
            raise self._error(value)
        return parsed

    def _typed(self, value: Any) -> Any:
        if self.kind is bool:
            lowered = str(value).strip().lower()
            if lowered not in {"true", "false"}:
                raise self._error(value)
            return lowered == "true"
        if isinstance(value, bool) or (self.kind is int and isinstance(value, float) and value % 1):
            raise self._error(value)
        try:
            parsed = self.kind(value)
        except (TypeError, ValueError) as error:
            raise self._error(value) from error
        if parsed != parsed:  # noqa: PLR0124 - NaN
            raise self._error(value)
        return parsed

    def _error(self, value: Any) -> ConfigError:
        return ConfigError(
            f"hyperparameter {self.name}={value!r}: must be {self.allowed}",
            field=self.name,
            value=value,
            allowed=self.allowed,
        )


TRAINING_HYPERPARAMETERS: tuple[Hyperparameter, ...] = (
    Hyperparameter("epoch", int, 2, "passes over the training rows", 1, 1000),
    Hyperparameter(
        "max_steps", int, -1, "optimiser steps; -1 or 0: as many as `epoch` needs", -1, 10_000_000
    ),
    Hyperparameter("learning_rate", float, 5e-4, "peak learning rate", 1e-8, 1),
    Hyperparameter(
        "lr_scheduler_type", str, "cosine", "decay", options=("cosine", "linear", "constant_with_warmup")
    ),
    Hyperparameter("warmup_ratio", float, 0.1, "share of the steps that warm the rate up", 0, 1),
    Hyperparameter("weight_decay", float, 0.0, "AdamW's weight decay", 0, 1),
    Hyperparameter("per_device_train_batch_size", int, 4, "rows a forward pass", 1, 1024),
    Hyperparameter("gradient_accumulation_steps", int, 2, "forward passes an optimiser step", 1, 1024),
    Hyperparameter(
        "peft_type", str, "lora", "lora: low-rank adapters; None: full fine-tuning", options=("lora", "None")
    ),
    Hyperparameter("lora_r", int, 16, "rank of the adapters", 1, 512),
    Hyperparameter("lora_alpha", int, 32, "scale of the adapters", 1, 1024),
    Hyperparameter("lora_dropout", float, 0.0, "dropout before the adapters", 0, 0.9),
    Hyperparameter("target_modules", str, "all-linear", "comma-separated module names, or all-linear"),
    Hyperparameter("merge_weights", bool, True, "merge the adapters into the model that is saved"),
    Hyperparameter("max_input_length", int, 1024, "longest row in tokens", 16, 131_072),
    Hyperparameter(
        "truncate_long_rows", bool, False, "cut rows over max_input_length instead of refusing them"
    ),
    Hyperparameter(
        "validation_split_ratio",
        float,
        0.0,
        "share of the rows held out for eval_loss, where there is no validation channel",
        0,
        0.5,
    ),
    Hyperparameter("seed", int, 10, "seed of initialisation, order and dropout", 0, 2**31 - 1),
    Hyperparameter("save_steps", int, 100, "optimiser steps between checkpoints", 1, 10_000_000),
    Hyperparameter(
        "gradient_checkpointing", bool, False, "recompute activations: half the memory, a little slower"
    ),
    Hyperparameter("dtype", str, "auto", "weights of the base", options=("auto", "bfloat16", "float32")),
)

EVALUATION_HYPERPARAMETERS: tuple[Hyperparameter, ...] = (
    Hyperparameter("max_new_tokens", int, 128, "longest answer in tokens", 1, 32_768),
    Hyperparameter("batch_size", int, 16, "rows generated together", 1, 1024),
    Hyperparameter("max_input_length", int, 1024, "longest row in tokens", 16, 131_072),
    Hyperparameter("dtype", str, "auto", "weights", options=("auto", "bfloat16", "float32")),
)


def parse_hyperparameters(
    values: Mapping[str, Any], table: tuple[Hyperparameter, ...] = TRAINING_HYPERPARAMETERS
) -> dict[str, Any]:
    """Every hyperparameter of `table` with its typed value, defaults filled in.

    Raises ConfigError for an unknown name (with the nearest right one) or a value outside its range.
    """
    known = {entry.name: entry for entry in table}
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            raise ConfigError(
                f"no hyperparameter {name!r}{hint}", field=name, value=values[name], allowed=", ".join(known)
            )
    return {
        name: entry.parse(values[name]) if name in values else entry.default for name, entry in known.items()
    }


def to_wire(values: Mapping[str, Any]) -> dict[str, str]:
    """The string map that CreateTrainingJob takes."""
    return {name: repr(value) if isinstance(value, float) else str(value) for name, value in values.items()}
