"""`python -m …supervisor ROOT KIND NAME [LEASE]`: runs one job or endpoint to its end, detached.

LEASE is the number of the open file by which the creator handed on the lock that says "alive".
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ift_sagemaker.local.running.isolation import named
from ift_sagemaker.local.running.runner import become_subreaper, end_descendants
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.state.resources import Document
from ift_sagemaker.local.state.settings import Context, LocalSettings
from ift_sagemaker.local.state.store import Store
from ift_sagemaker.local.supervision.kinds import KIND_BY_NOUN, KINDS
from ift_sagemaker.local.supervision.leases import Lease, acquire, inherited, lease_path
from ift_sagemaker.local.supervision.reconcile import sweep


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 where the job or endpoint was brought to its end, 1 where none was to be run."""
    root, kind, name = Path(arguments[0]), KIND_BY_NOUN[arguments[1]], arguments[2]
    lease = _lease(lease_path(root, kind, name), arguments[3:])
    if lease is None:
        sys.stderr.write(f"{kind} {name} has a supervisor already\n")
        return 1
    try:
        store = Store(root)
        document = store.get(kind, name)
        if document is None:
            sys.stderr.write(f"there is no {kind} {name} in {root}\n")
            return 1
        become_subreaper()
        try:
            _supervise(store, kind, document)
        finally:
            end_descendants()
    finally:
        lease.retire()
    return 0


def _lease(path: Path, handed_on: Sequence[str]) -> Lease | None:
    return inherited(path, int(handed_on[0])) if handed_on else acquire(path)


def _supervise(store: Store, kind: str, document: Document) -> None:
    settings = LocalSettings(root=store.root, **document["_settings"])
    context = Context(settings, store, ObjectStore(store), time.time)
    runner = named(document["_runner"], settings)
    sweep(context)
    KINDS[kind].behaviour.run(context, document, runner)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
