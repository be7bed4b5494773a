"""How an endpoint is supervised."""

from __future__ import annotations

from ift_sagemaker.local.hosting import document
from ift_sagemaker.local.running.runner import Runner
from ift_sagemaker.local.state.resources import Document
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.kinds import Behaviour


def _is_supervised(endpoint: Document) -> bool:
    return endpoint["EndpointStatus"] in document.SUPERVISED


def _lost(endpoint: Document, reason: str, now: float) -> Document | None:
    if endpoint["EndpointStatus"] == "Deleting":
        return None
    if document.is_to_be_revived(endpoint):
        return document.interrupted(endpoint, reason, now)
    return document.failed(endpoint, reason, now)


def _run(context: Context, endpoint: Document, runner: Runner) -> None:
    from ift_sagemaker.local.hosting.run import EndpointRun

    EndpointRun(context, endpoint, runner).run()


def _buried(context: Context, endpoint: Document) -> None:
    from ift_sagemaker.local.hosting.backlog import DELETED, tell_all

    if not endpoint["_fleet"]["async"] or document.is_to_be_revived(endpoint):
        return
    is_deleted = endpoint["EndpointStatus"] == "Deleting"
    tell_all(context, endpoint, DELETED if is_deleted else "The endpoint has failed: its supervisor died.")


BEHAVIOUR = Behaviour(_is_supervised, _lost, _run, _buried)
