"""`train`: hyperparameters and channels in, a model in `/opt/ml/model` out."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

import ift_sagemaker
from ift_sagemaker.container import resume
from ift_sagemaker.container.batching import PASS_COST, StepBatches, make_passes, plan_steps, steps_per_epoch
from ift_sagemaker.container.encoding import ConversationEncoder, EncodedRow, encode_rows
from ift_sagemaker.container.inputs import (
    Conversations,
    read_conversations,
    read_training_hyperparameters,
    refuse_many_hosts,
)
from ift_sagemaker.container.learner import Learner, describe, prepare_learner, save
from ift_sagemaker.container.lifecycle import StopRequest, say
from ift_sagemaker.container.loss import TokenLoss
from ift_sagemaker.container.trainer import (
    EpochEnds,
    PublishCheckpoints,
    Schedule,
    StopAfterStep,
    TokenTrainer,
    training_arguments,
)
from ift_sagemaker.wire.artifact import FORM_ADAPTER, FORM_MERGED, ModelCard
from ift_sagemaker.wire.hyperparameters import to_wire
from ift_sagemaker.wire.paths import CHANNEL_MODEL, MODEL_ID_VARIABLE, MLPaths
from ift_sagemaker.wire.template import PromptTemplate, chat_fingerprint


def run(paths: MLPaths, stop: StopRequest, environment: Mapping[str, str] = os.environ) -> None:
    """Trains and saves. Raises the library's own errors for bad input, before any long work."""
    transformers.utils.logging.disable_progress_bar()
    refuse_many_hosts(paths.resource_config)
    values = read_training_hyperparameters(paths.hyperparameters)
    conversations = read_conversations(paths, values)
    transformers.set_seed(values["seed"])
    if values["dtype"] == "auto":
        values = {**values, "dtype": resume.recorded_dtype(paths.checkpoints) or "auto"}
    learner = prepare_learner(paths.channel(CHANNEL_MODEL), values)
    encoder = ConversationEncoder(learner.tokenizer, learner.stop_ids)
    training, validation = _encode(encoder, conversations, values)
    describe(learner, training, validation, values)
    schedule = make_schedule(training, validation, values, learner.precision.device)
    steps = fit(learner, schedule, values, resume.run_fingerprint(values, training), paths, stop)
    card = ModelCard(
        base_model_id=environment.get(MODEL_ID_VARIABLE) or _base_name(paths.channel(CHANNEL_MODEL)),
        form=FORM_ADAPTER if _saves_adapter(values) else FORM_MERGED,
        unfinished=steps < schedule.total,
        steps=steps,
        total_steps=schedule.total,
        template=_template_fields(conversations.template),
        hyperparameters=to_wire(values),
        versions=versions(),
        template_fingerprint=conversations.template.fingerprint if conversations.template else None,
        chat_template_fingerprint=chat_fingerprint(learner.tokenizer.chat_template),
    )
    save(learner, card, paths.model)


def _encode(
    encoder: ConversationEncoder, conversations: Conversations, values: Mapping[str, Any]
) -> tuple[list[EncodedRow], list[EncodedRow]]:
    longest, truncate = values["max_input_length"], values["truncate_long_rows"]
    return (
        encode_rows(encoder, conversations.training, longest, truncate=truncate),
        encode_rows(encoder, conversations.validation, longest, truncate=truncate),
    )


def make_schedule(
    training: Sequence[EncodedRow],
    validation: Sequence[EncodedRow],
    values: Mapping[str, Any],
    device: torch.device,
) -> Schedule:
    rows_per_pass = values["per_device_train_batch_size"]
    rows_per_step = rows_per_pass * values["gradient_accumulation_steps"]
    per_epoch = steps_per_epoch(len(training), rows_per_step)
    total = values["max_steps"] if values["max_steps"] > 0 else values["epoch"] * per_epoch
    steps = plan_steps(len(training), rows_per_step, total, values["seed"])
    cost = PASS_COST[device.type]
    ordered = sorted(validation, key=lambda row: len(row.ids))
    held_out = [
        batch
        for start in range(0, len(ordered), rows_per_pass)
        for batch in make_passes(ordered[start : start + rows_per_pass], rows_per_pass, cost)
    ]
    return Schedule(StepBatches(training, steps, rows_per_pass, cost), per_epoch, held_out)


def fit(
    learner: Learner,
    schedule: Schedule,
    values: Mapping[str, Any],
    fingerprint: str,
    paths: MLPaths,
    stop: StopRequest,
) -> int:
    """Optimiser steps done, those before a resume included."""
    writing = paths.checkpoints / resume.WRITING
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    checkpoint = resume.checkpoint_to_resume(paths.checkpoints, fingerprint)
    if checkpoint is not None:
        say(f"resuming from {checkpoint.name}")
    trainer = TokenTrainer(
        loss=TokenLoss(learner.model, learner.autocast),
        schedule=schedule,
        stop=stop,
        model=learner.model,
        args=training_arguments(values, schedule.total, writing, learner.precision.device),
        callbacks=[
            EpochEnds(schedule, stop),
            StopAfterStep(stop),
            PublishCheckpoints(
                paths.checkpoints, {"fingerprint": fingerprint, "dtype": learner.precision.name}
            ),
        ],
    )
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    stop.defer()
    shutil.rmtree(writing, ignore_errors=True)
    steps: int = trainer.state.global_step
    return steps


def _saves_adapter(values: Mapping[str, Any]) -> bool:
    return values["peft_type"] == "lora" and not values["merge_weights"]


def _template_fields(template: PromptTemplate | None) -> dict[str, str] | None:
    return None if template is None else {"prompt": template.prompt, "completion": template.completion}


def _base_name(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return str(config.get("_name_or_path") or folder.name)


def versions() -> dict[str, str]:
    return {
        "ift_sagemaker": ift_sagemaker.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }
