"""Starting a detached supervisor: its own session, nothing inherited but the lease and a log of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running import engines
from ift_sagemaker.local.state.resources import Document, insert, taken
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.kinds import KINDS
from ift_sagemaker.local.supervision.leases import Lease, acquire, lease_path
from ift_sagemaker.local.supervision.slots import Slots
from ift_sagemaker.local.weather.profile import capacity_delay

MODULE = "ift_sagemaker.local.supervision.supervisor"
# whoever only looks at a lease holds it for microseconds
PATIENCE = 1.0
PASSED = (*engines.PASSED, "LANG", "LC_ALL", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


def begin(
    context: Context,
    kind: str,
    name: str,
    document: Document,
    slots: int,
    start: Callable[[Path, str, str, Lease], None] | None = None,
) -> None:
    """Stores a new job or endpoint and starts its supervisor, in an order that a crash cannot break.

    Raises:
        ServiceError: the name is in use, or the machine could not start a process.
    """
    root = context.store.root
    lease = acquire(lease_path(root, kind, name), PATIENCE)
    if lease is None:
        raise taken(context, kind, name)
    place, queue = Workplace.of(root, kind, name), Slots(root, kind, slots)
    try:
        insert(context, kind, name, document)
        place.make()
        queue.enqueue(name, document["CreationTime"], capacity_delay(context.settings, kind, name))
        (start or start_supervisor)(root, kind, name, lease)
    except OSError as error:
        queue.leave(name)
        place.remove()
        context.store.delete(kind, name)
        raise ServiceError("InternalFailure", f"{kind} {name} could not be started: {error}", 500) from error
    finally:
        lease.release()


def start_supervisor(root: Path, kind: str, name: str, lease: Lease) -> None:
    """Starts the supervisor of a job or endpoint and hands it the lease; the caller's share is released.

    Raises:
        OSError: the machine could not start a process.
    """
    place = Workplace.of(root, kind, name)
    what = KINDS[kind].noun
    with place.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(root), what, name, str(lease.descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=root,
            env=supervisor_environment(os.environ),
            start_new_session=True,
            pass_fds=(lease.descriptor,),
        )
    lease.release()
    # reaps it, should this process outlive it
    threading.Thread(target=process.wait, name=f"reap-{name}", daemon=True).start()


def supervisor_environment(caller: Mapping[str, str]) -> dict[str, str]:
    """What of the caller's environment a supervisor gets: no credentials, no tokens."""
    passed = {name: caller[name] for name in PASSED if name in caller}
    # the working folder must not be a place to import from
    return {**passed, "PYTHONSAFEPATH": "1", **import_path()}


def import_path() -> dict[str, str]:
    """PYTHONPATH for a Python of this environment to import this package; empty where it is installed."""
    package = str(Path(__file__).resolve().parents[3])
    installed = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return {} if package in installed else {"PYTHONPATH": package}
