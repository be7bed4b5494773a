"""What is trained: the model with its tokenizer, made ready and put away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ift_sagemaker.container.adapters import merged, save_adapter, with_adapter
from ift_sagemaker.container.encoding import EncodedRow, stop_token_ids
from ift_sagemaker.container.lifecycle import say
from ift_sagemaker.container.precision import Precision, available_device, choose_precision
from ift_sagemaker.container.weights import (
    appearing_whole,
    load_model,
    load_tokenizer,
    save_checkpoint,
    save_tokenizer,
)
from ift_sagemaker.wire.artifact import FORM_ADAPTER, ModelCard


@dataclass
class Learner:
    """What is trained: `model` as Trainer sees it, with the tokenizer and the numbers it runs in."""

    model: Any
    tokenizer: Any
    stop_ids: frozenset[int]
    precision: Precision
    autocast: torch.dtype | None


def prepare_learner(folder: Path, values: Mapping[str, Any]) -> Learner:
    """The base with adapters on it, or all of it in float32 for full fine-tuning.

    What learns is kept in float32, since small updates are lost to bfloat16's rounding, and computes in
    bfloat16 (autocast) where that is faster.
    """
    precision = choose_precision(values["dtype"], available_device())
    lora = values["peft_type"] == "lora"
    stored = precision if lora else Precision(precision.device, torch.float32, precision.reason)
    model = load_model(folder, stored)
    tokenizer = load_tokenizer(folder)
    stop_ids = stop_token_ids(model.generation_config, tokenizer)
    if values["gradient_checkpointing"]:
        _recompute_activations(model)
    return Learner(
        model=with_adapter(model, values) if lora else model,
        tokenizer=tokenizer,
        stop_ids=stop_ids,
        precision=precision,
        autocast=None if precision.dtype == torch.float32 else precision.dtype,
    )


def _recompute_activations(model: Any) -> None:
    settings = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=settings)
    else:  # the older name, transformers before 5.20 or so
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)


def describe(
    learner: Learner,
    training: Sequence[EncodedRow],
    validation: Sequence[EncodedRow],
    values: Mapping[str, Any],
) -> None:
    tokens, trained = sum(len(row.ids) for row in training), sum(row.trained_count for row in training)
    parameters = [(parameter.numel(), parameter.requires_grad) for parameter in learner.model.parameters()]
    trainable = sum(count for count, learns in parameters if learns)
    rows = f"{len(training)} training rows, {len(validation)} held out"
    say(f"{rows}; {tokens} training tokens, {trained} of them trained")
    say(f"{learner.precision.name} on {learner.precision.device}: {learner.precision.reason}")
    if values["peft_type"] != "lora":
        say("full fine-tuning: weights kept in float32")
    say(f"{torch.get_num_threads()} threads; {trainable} of {sum(n for n, _ in parameters)} parameters learn")
    endless = sum(not row.ended for row in training)
    if endless:
        say(
            f"WARNING: {endless} rows do not close with a token that generation stops at "
            f"({sorted(learner.stop_ids)}); the tuned model may not know where to end"
        )


def save(learner: Learner, card: ModelCard, folder: Path) -> None:
    """The model of `card.form`, complete with tokenizer and card, or nothing."""
    with appearing_whole(folder) as saving:
        if card.form == FORM_ADAPTER:
            save_adapter(learner.model, card.base_model_id, saving)
            save_tokenizer(learner.tokenizer, saving)
        else:
            whole = merged(learner.model) if hasattr(learner.model, "peft_config") else learner.model
            save_checkpoint(whole, learner.tokenizer, learner.stop_ids, saving)
        card.write(saving)
    state = "unfinished, stopped" if card.unfinished else "finished"
    say(f"saved the {card.form} model, {state} after {card.steps} of {card.total_steps} steps")
