"""The estimate of a planned run, and the run with the limits that its budget sets."""

from __future__ import annotations

import json
from dataclasses import replace

from ift_sagemaker.catalog import find
from ift_sagemaker.plan.budget import limited
from ift_sagemaker.plan.estimate import Estimate, Subject, Target
from ift_sagemaker.plan.estimating import estimate
from ift_sagemaker.plan.routes.container import TrainingInputs
from ift_sagemaker.plan.tokens import TokenCount
from ift_sagemaker.plan.workload import ModelShape, Training
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters


def training_of(inputs: TrainingInputs) -> Training:
    """How the run trains; raises ConfigError for a hyperparameter outside its range."""
    return Training.of_hyperparameters(parse_hyperparameters(inputs.spec.hyperparameters))


def forecast(
    inputs: TrainingInputs, tokens: TokenCount, held_out: TokenCount | None, target: Target
) -> tuple[TrainingInputs, Estimate]:
    """The inputs with the longest run that `max_cost` allows, and the estimate of them."""
    subject, training = subject_of(inputs, held_out), training_of(inputs)
    found = estimate(subject, training, tokens, target)
    compute = limited(inputs.spec.compute, found)
    if compute is inputs.spec.compute:
        return inputs, found
    limited_inputs = replace(inputs, spec=inputs.spec.model_copy(update={"compute": compute}))
    return limited_inputs, estimate(subject, training, tokens, replace(target, compute=compute))


def subject_of(inputs: TrainingInputs, held_out: TokenCount | None) -> Subject:
    """What is trained; the model's shape is that of its `config.json`, where there is a readable one."""
    try:
        config = json.loads((inputs.weights.folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        config = {}
    # weights are kept in two bytes each
    parameters = find(inputs.spec.model).parameters or inputs.weights.size // 2
    sent = [inputs.training] if inputs.validation is None else [inputs.training, inputs.validation]
    return Subject(
        model_id=inputs.spec.model,
        shape=ModelShape.of_config(parameters, config),
        weights_bytes=inputs.weights.size,
        data_bytes=sum(len(content) for rows in sent for content in rows.files.values()),
        held_out=held_out,
    )
