"""Putting right what a dead supervisor left: nobody ends a job or an endpoint but its supervisor, or this."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ift_sagemaker.local.running.engines import EngineError
from ift_sagemaker.local.running.isolation import named
from ift_sagemaker.local.state.paging import Listing, page_of
from ift_sagemaker.local.state.resources import Document
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.kinds import KINDS
from ift_sagemaker.local.supervision.leases import abandoned, acquire, is_held, lease_path

# what a later look may find mended: a store that cannot be written, an engine that is not up
_LATER = (sqlite3.Error, EngineError)


def current(context: Context, kind: str, document: Document) -> Document | None:
    """The document as it truly is, None where it is gone: cheap for what has ended or is alive."""
    name = document[KINDS[kind].name_field]
    supervised = KINDS[kind].behaviour.is_supervised(document)
    if not supervised or is_held(lease_path(context.store.root, kind, name)):
        return document
    return reconcile(context, kind, name, document)


def all_current(context: Context, kind: str) -> Iterator[Document]:
    """Every document of a kind, as it truly is."""
    for document in context.store.list(kind):
        found = current(context, kind, document)
        if found is not None:
            yield found


def listed_current(
    context: Context,
    kind: str,
    params: Mapping[str, Any],
    listing: Listing,
    shown: Callable[[Document], Document | None] = lambda document: document,
) -> Document:
    """The answer of a List operation with every document as it truly is, and as `shown` tells it.

    Only documents of the page and those whose supervisor died are looked at.
    """

    def truth(document: Document) -> Document | None:
        found = current(context, kind, document)
        return None if found is None else shown(found)

    for abandoned_kind, name in abandoned(context.store.root):
        if abandoned_kind == kind:
            with suppress(*_LATER):
                reconcile(context, kind, name)
    return page_of(context.store, kind, params, listing, truth)


def sweep(context: Context) -> None:
    """Reconciles whatever was left by supervisors that died."""
    for kind, name in abandoned(context.store.root):
        with suppress(*_LATER):
            reconcile(context, kind, name)


def reconcile(context: Context, kind: str, name: str, seen: Document | None = None) -> Document | None:
    """The document after whatever its dead supervisor left undone; as it is where the supervisor lives.

    `seen` is what to answer from where the store cannot be written (a full disk), or where an engine does not
    say what became of a container: the next look tries again.
    """
    lease = acquire(lease_path(context.store.root, kind, name))
    if lease is None:
        return context.store.get(kind, name)
    words = Workplace.of(context.store.root, kind, name).last_words()
    try:
        document = context.store.get(kind, name)
        if document is not None and KINDS[kind].behaviour.is_supervised(document):
            document = _bury(context, kind, name, document, words)
        lease.retire()
        return document
    except sqlite3.Error:
        if seen is None:
            raise
        return _lost(context, kind, seen, words)
    except EngineError:
        if seen is None:
            raise
        return seen
    finally:
        lease.release()


def _bury(context: Context, kind: str, name: str, document: Document, words: str) -> Document | None:
    place = Workplace.of(context.store.root, kind, name)
    named(document["_runner"]).end_remains(document.get("_programs", []), place.home)
    # the folder first: where this is cut short the document still asks for another look
    place.remove()
    KINDS[kind].behaviour.buried(context, document)
    if _lost(context, kind, document, words) is None:
        context.store.delete(kind, name)
        return None
    return context.store.update(kind, name, lambda there: _lost(context, kind, there, words) or there)


def _lost(context: Context, kind: str, document: Document, words: str) -> Document | None:
    reason = f"InternalServerError: the supervisor of this {KINDS[kind].noun} died" + (
        f": {words}" if words else " (it was killed, or the machine was restarted)"
    )
    return KINDS[kind].behaviour.lost(document, reason, context.clock())
