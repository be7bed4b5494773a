"""How a processing job is supervised."""

from __future__ import annotations

from ift_sagemaker.local.processing import document
from ift_sagemaker.local.running.runner import Runner, end_descendants
from ift_sagemaker.local.state.resources import Document
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.kinds import Behaviour


def _is_supervised(job: Document) -> bool:
    return job["ProcessingJobStatus"] not in document.TERMINAL


def _lost(job: Document, reason: str, now: float) -> Document:
    return document.ended(job, "Failed", now, reason)


def _run(context: Context, job: Document, runner: Runner) -> None:
    from ift_sagemaker.local.processing.run import ProcessingRun

    ProcessingRun(context, job, runner, end_leftovers=end_descendants).run()


BEHAVIOUR = Behaviour(_is_supervised, _lost, _run)
