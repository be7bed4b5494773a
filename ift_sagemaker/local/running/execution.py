"""What a job records of its execution: what runs in its image's place, by which runner, and how shut in."""

from __future__ import annotations

from collections.abc import Mapping

from ift_sagemaker.local.running.images import LocalContainer
from ift_sagemaker.local.running.runner import Isolation, Runner
from ift_sagemaker.local.state.resources import Document
from ift_sagemaker.local.state.tags import IMAGE_TAG, RUNNER_TAG, merged


def recorded(
    job: Document, container: LocalContainer, runner: Runner, isolation: Isolation, asked: Mapping[str, str]
) -> Document:
    """The job with its execution, which is readable as tags too; `asked` says what image it asked for."""
    told = (
        {"Key": RUNNER_TAG, "Value": runner.name},
        {"Key": IMAGE_TAG, "Value": container.executed},
    )
    return {
        **job,
        "_tags": merged(job["_tags"], told),
        "_command": list(container.command),
        "_image": [container.image, container.replaces_entrypoint],
        "_runner": runner.name,
        "_isolation": isolation.record(),
        "_images": {**asked, "executed": container.executed},
    }
