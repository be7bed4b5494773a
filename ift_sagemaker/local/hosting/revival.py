"""A new supervisor for an asynchronous endpoint whose own has died: what it accepted is still to be done."""

from __future__ import annotations

from ift_sagemaker.local.hosting import document as endpoint_document
from ift_sagemaker.local.state.resources import ENDPOINT, Document
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.launch import start_supervisor
from ift_sagemaker.local.supervision.leases import acquire, lease_path
from ift_sagemaker.local.supervision.reconcile import current


def as_it_is(context: Context, document: Document) -> Document | None:
    """The endpoint as it truly is, None where it is gone; one that waits for a supervisor gets it."""
    endpoint = current(context, ENDPOINT, document)
    if endpoint is None or endpoint["EndpointStatus"] != endpoint_document.WAITING_FOR_A_SUPERVISOR:
        return endpoint
    return _revive(context, endpoint)


def _revive(context: Context, endpoint: Document) -> Document | None:
    root, name = context.store.root, endpoint["EndpointName"]
    lease = acquire(lease_path(root, ENDPOINT, name))
    if lease is None:  # another caller is about to
        return context.store.get(ENDPOINT, name)
    try:
        there = context.store.get(ENDPOINT, name)
        if there is None or there["EndpointStatus"] != endpoint_document.WAITING_FOR_A_SUPERVISOR:
            return there
        Workplace.of(root, ENDPOINT, name).make()
        revived = context.store.update(ENDPOINT, name, endpoint_document.revived)
        start_supervisor(root, ENDPOINT, name, lease)
        return revived
    except (OSError, KeyError):  # it waits on for the next look
        return context.store.get(ENDPOINT, name)
    finally:
        lease.release()
