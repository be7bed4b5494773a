"""Hyperparameters of JumpStart's training scripts, as this program follows them.

JumpStart's scripts for text generation share most names with our table. What they do beyond it (quantisation,
sharding, their own evaluation and logging) this program does not, and says so in the log.
Source of the meanings: https://docs.aws.amazon.com/sagemaker/latest/dg/jumpstart-foundation-models-fine-tuning.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.errors import UnsupportedError
from ift_sagemaker.wire.hyperparameters import TRAINING_HYPERPARAMETERS
from ift_sagemaker.wire.jumpstart import SCRIPT

_PROGRAM = "sagemaker_program"
_KINDS = ("instruction_tuned", "chat_dataset")
_AS_THE_MODEL = "-1"
_DECISIVE = {"max_train_samples": "-1", "max_val_samples": "-1", "train_from_scratch": "False"}
"""What would change which rows or weights are learnt; refused with any other value."""


def is_jumpstarts(given: Mapping[str, Any]) -> bool:
    """Whether the values were meant for a script of JumpStart's."""
    return given.get(_PROGRAM) == SCRIPT or any(name in given for name in _KINDS)


def followed(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values under the names of our table, and `name=value` of all that is not followed.

    Rows over the longest length are cut, as JumpStart's scripts do, and every forward pass is a step unless
    the request says otherwise. Raises UnsupportedError for domain adaptation and for a choice of rows.
    """
    if all(str(given.get(name, "True")) == "False" for name in _KINDS):
        raise UnsupportedError(
            "instruction_tuned and chat_dataset are both False: domain adaptation on plain text is not "
            "offered yet by the program that stands in for JumpStart's script",
            feature="domain adaptation",
        )
    for name, needed in _DECISIVE.items():
        if str(given.get(name, needed)) != needed:
            raise UnsupportedError(
                f"{name}={given[name]} is not offered yet by the program that stands in for JumpStart's "
                f"script; leave it at {needed}",
                feature=name,
            )
    ours = {entry.name for entry in TRAINING_HYPERPARAMETERS}
    values = {"gradient_accumulation_steps": "1", "truncate_long_rows": "True"}
    values |= {name: value for name, value in given.items() if name in ours}
    if str(values.get("max_input_length")) == _AS_THE_MODEL:
        del values["max_input_length"]
    if str(values.get("peft_type")) == "none":
        values["peft_type"] = "None"
    passed_over = sorted({*given} - ours - _DECISIVE.keys() - {*_KINDS})
    return values, [f"{name}={given[name]}" for name in passed_over]
