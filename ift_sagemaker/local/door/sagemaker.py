"""SageMaker's control plane: every operation that the local AWS offers, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ift_sagemaker.local.hosting import operations as hosting
from ift_sagemaker.local.hub import operations as hub
from ift_sagemaker.local.hub.content import with_content
from ift_sagemaker.local.processing import operations as processing_jobs
from ift_sagemaker.local.state import tags
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.training import operations as training_jobs

OPERATIONS: dict[str, Callable[[Context, dict[str, Any]], dict[str, Any]]] = {
    **training_jobs.OPERATIONS,
    **processing_jobs.OPERATIONS,
    **hosting.OPERATIONS,
    **tags.OPERATIONS,
    **hub.OPERATIONS,
    "CreateTrainingJob": with_content(training_jobs.create_training_job),
    "CreateModel": with_content(hosting.create_model),
}
