"""One small run that the tests of estimates vary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ift_sagemaker.plan.estimate import Estimate, Subject, Target
from ift_sagemaker.plan.estimating import estimate
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.plan.tokens import TokenCount
from ift_sagemaker.plan.workload import ModelShape, Training

SMOLLM2 = ModelShape.of_config(
    134_515_008,
    {
        "num_hidden_layers": 30,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
    },
)
SUBJECT = Subject("smollm2-135m-instruct", SMOLLM2, 272_000_000, 5_000_000)
TRAINING = Training(epochs=2, rows_per_pass=4, passes_per_step=2)
TOKENS = TokenCount.of_lengths([210] * 10_000, 10_000)


def found(
    subject: Subject = SUBJECT,
    training: Training = TRAINING,
    tokens: TokenCount = TOKENS,
    region: str = "us-east-1",
    **compute: Any,
) -> Estimate:
    return estimate(subject, training, tokens, Target(Compute(**compute), region))


def of_size(parameters: int) -> Subject:
    return replace(SUBJECT, shape=ModelShape.of_size(parameters), weights_bytes=2 * parameters)
