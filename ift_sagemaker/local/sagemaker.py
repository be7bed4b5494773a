"""SageMaker's control plane: every operation that the local AWS offers, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ift_sagemaker.local import hosting, tags, training_jobs
from ift_sagemaker.local.settings import Context

OPERATIONS: dict[str, Callable[[Context, dict[str, Any]], dict[str, Any]]] = {
    **training_jobs.OPERATIONS,
    **hosting.OPERATIONS,
    **tags.OPERATIONS,
}
