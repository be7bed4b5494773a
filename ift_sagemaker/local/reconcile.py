"""Putting right what a dead supervisor left: nobody ends a job or an endpoint but its supervisor, or this."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress

from ift_sagemaker.local import endpoint_document, job_document
from ift_sagemaker.local.folders import Workplace
from ift_sagemaker.local.leases import abandoned, acquire, is_held, lease_path
from ift_sagemaker.local.processes import end, marked, remains
from ift_sagemaker.local.resources import ENDPOINT, TRAINING_JOB, Document
from ift_sagemaker.local.settings import Context

_NAMES = {TRAINING_JOB: "TrainingJobName", ENDPOINT: "EndpointName"}
_NOUNS = {TRAINING_JOB: "job", ENDPOINT: "endpoint"}


def is_supervised(kind: str, document: Document) -> bool:
    """Whether a supervisor ought to be alive for this document."""
    if kind == TRAINING_JOB:
        return document["TrainingJobStatus"] not in job_document.TERMINAL
    return document["EndpointStatus"] in endpoint_document.SUPERVISED


def current(context: Context, kind: str, document: Document) -> Document | None:
    """The document as it truly is, None where it is gone: cheap for what has ended or is alive."""
    name = document[_NAMES[kind]]
    if not is_supervised(kind, document) or is_held(lease_path(context.store.root, kind, name)):
        return document
    return reconcile(context, kind, name, document)


def all_current(context: Context, kind: str) -> Iterator[Document]:
    """Every document of a kind, as it truly is."""
    for document in context.store.list(kind):
        found = current(context, kind, document)
        if found is not None:
            yield found


def sweep(context: Context) -> None:
    """Reconciles whatever was left by supervisors that died."""
    for kind, name in abandoned(context.store.root):
        with suppress(sqlite3.Error):
            reconcile(context, kind, name)


def reconcile(context: Context, kind: str, name: str, seen: Document | None = None) -> Document | None:
    """The document after whatever its dead supervisor left undone; as it is where the supervisor lives.

    `seen` is what to answer from where the store cannot be written (a full disk).
    """
    lease = acquire(lease_path(context.store.root, kind, name))
    if lease is None:
        return context.store.get(kind, name)
    words = Workplace.of(context.store.root, kind, name).last_words()
    try:
        document = context.store.get(kind, name)
        if document is not None and is_supervised(kind, document):
            document = _bury(context, kind, name, document, words)
        lease.retire()
        return document
    except sqlite3.Error:
        if seen is None:
            raise
        return _lost(context, kind, seen, words)
    finally:
        lease.release()


def _bury(context: Context, kind: str, name: str, document: Document, words: str) -> Document | None:
    place = Workplace.of(context.store.root, kind, name)
    end(lambda: remains(document.get("_program")))
    # a supervisor may die in the moment before it could record its program
    end(lambda: marked(place.ml))
    if document.get("EndpointStatus") == "Deleting":
        place.remove()
        context.store.delete(kind, name)
        return None
    # the folder first: where this is cut short the document still asks for another look
    place.remove()
    return context.store.update(kind, name, lambda there: _lost(context, kind, there, words))


def _lost(context: Context, kind: str, document: Document, words: str) -> Document:
    reason = f"InternalServerError: the supervisor of this {_NOUNS[kind]} died" + (
        f": {words}" if words else " (it was killed, or the machine was restarted)"
    )
    now = context.clock()
    if kind == TRAINING_JOB:
        return job_document.ended(document, "Failed", now, reason)
    return endpoint_document.failed(document, reason, now)
