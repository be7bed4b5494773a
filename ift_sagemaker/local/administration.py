"""Looking after a local AWS: what runs and what it takes, and ending and removing all of it."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ift_sagemaker.errors import ConfigError
from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door import register
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running import isolation
from ift_sagemaker.local.running.engines import Engine, EngineError
from ift_sagemaker.local.running.images import REGISTRY_FILE
from ift_sagemaker.local.running.processes import PROC, Process, children, everything, kill, read, remains
from ift_sagemaker.local.state.resources import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    PROCESSING_JOB,
    TRAINING_JOB,
    Document,
)
from ift_sagemaker.local.state.settings import Context, LocalSettings
from ift_sagemaker.local.supervision import launch
from ift_sagemaker.local.supervision.folders import remove_tree
from ift_sagemaker.local.supervision.kinds import KIND_BY_NOUN, KINDS
from ift_sagemaker.local.supervision.reconcile import all_current
from ift_sagemaker.local.training import document

STATE_FILE = "state.sqlite"
_FOLDERS = ("s3", "jobs", "processing", "endpoints", "locks", "slots", "queue", register.FOLDER)
# the state goes last: a reset that was cut short can be done again
_FILES = ("schema.lock", REGISTRY_FILE, *(f"{STATE_FILE}{end}" for end in ("-journal", "-wal", "-shm", "")))
_LISTENING = "0A"
_PATIENCE_IN_SECONDS = 20.0
_SERVER_PATIENCE_IN_SECONDS = 8.0
_LEAVING_IN_SECONDS = 5.0


def status(settings: LocalSettings, sleep: Callable[[float], None] = time.sleep) -> dict[str, Any]:
    """What there is and what runs, as plain data; makes nothing where there is no local AWS yet.

    A supervisor that has brought its job or endpoint to the end is given a moment to leave first.

    `servers` are those of `serve`, by address, with their process numbers. `processes` are the numbers of
    all supervisors and of the programs they run, `containers` the identifiers of the containers they run in,
    `ports` the TCP ports on which one of them listens, `bytes` what the state takes on disk.
    """
    found: dict[str, Any] = {
        "root": str(settings.root),
        "exists": (settings.root / STATE_FILE).exists(),
        "runner": _runner(settings),
        "servers": {server.url: server.pid for server in register.running(settings.root)},
        "jobs": {},
        "processing_jobs": {},
        "endpoints": {},
        "models": [],
        "endpoint_configs": [],
    }
    if found["exists"]:
        context = create_context(settings)
        _let_leave(context, sleep)
        found["jobs"] = _named(context, TRAINING_JOB, "TrainingJobName", "TrainingJobStatus")
        found["processing_jobs"] = _named(context, PROCESSING_JOB, "ProcessingJobName", "ProcessingJobStatus")
        found["endpoints"] = _named(context, ENDPOINT, "EndpointName", "EndpointStatus")
        found["models"] = [model["ModelName"] for model in context.store.list(MODEL)]
        found["endpoint_configs"] = [
            config["EndpointConfigName"] for config in context.store.list(ENDPOINT_CONFIG)
        ]
        context.store.close()
    running = list(_running(settings.root))
    return {
        **found,
        "processes": sorted(process.pid for process in running),
        "containers": _containers_told(settings),
        "ports": sorted({port for process in running for port in _ports(process.pid)}),
        "bytes": _size(settings.root),
    }


def _let_leave(context: Context, sleep: Callable[[float], None]) -> None:
    waited = 0.0
    while waited < _LEAVING_IN_SECONDS and any(
        _is_leaving(context, words) for _, words in _supervisors(context.store.root)
    ):
        waited += 0.05
        sleep(0.05)


def _is_leaving(context: Context, words: list[str]) -> bool:
    kind = KIND_BY_NOUN[words[1]]
    document = context.store.get(kind, words[2])
    return document is None or not KINDS[kind].behaviour.is_supervised(document)


def supervisor_pid(settings: LocalSettings, kind: str, name: str) -> int | None:
    """Process number of the supervisor of a "job", "processing-job" or "endpoint"; None where none runs."""
    for process, words in _supervisors(settings.root):
        if words[1:3] == [kind, name]:
            return process.pid
    return None


def interrupt(settings: LocalSettings, job_name: str) -> None:
    """Marks a training job as having lost its spot instances; its supervisor sees that in a moment.

    Raises ConfigError where there is no such job, or it has none to lose.
    """
    context = create_context(settings)
    try:
        context.store.update(TRAINING_JOB, job_name, document.interrupt)
    except KeyError:
        raise ConfigError(f"there is no training job {job_name}", field="job_name", value=job_name) from None
    except ServiceError as error:
        raise ConfigError(error.message, field="job_name", value=job_name) from error
    finally:
        context.store.close()


def reset(settings: LocalSettings, sleep: Callable[[float], None] = time.sleep) -> None:
    """Ends every job and endpoint at once and removes all that a local AWS keeps, and the root with it.

    Raises ConfigError, before anything is touched, for a folder that holds other things as well, and where
    a process that does other things as well serves it.
    """
    root = settings.root
    if not root.exists():
        return
    _refuse_foreign(root)
    _end_servers(root, sleep)
    before = list(_running(root))
    for process, _ in _supervisors(root):
        kill(process)
    # an engine must end its containers itself: it waits long for one that was killed behind its back
    for engine, container in _containers(settings):
        engine.remove(container)
    waited = 0.0
    while running := [*filter(_still_runs, before), *_running(root)]:
        for process in running:
            kill(process)
        if waited >= _PATIENCE_IN_SECONDS:
            raise ConfigError(
                f"processes {sorted(process.pid for process in running)} of {root} cannot be ended",
                field="IFT_LOCAL_ROOT",
                value=str(root),
            )
        waited += 0.05
        sleep(0.05)
    _remove(root)


def _still_runs(process: Process) -> bool:
    there = read(process.pid)
    return there is not None and there.started == process.started


def _refuse_foreign(root: Path) -> None:
    names = {path.name for path in root.iterdir()}
    if names and STATE_FILE not in names:
        raise _refused(root, f"{root} holds no local AWS and is left alone")
    if foreign := names.difference(_FOLDERS, _FILES):
        listed = ", ".join(sorted(foreign))
        raise _refused(root, f"{root} also holds {listed} and is left alone; move that elsewhere first")


def _end_servers(root: Path, sleep: Callable[[float], None]) -> None:
    """First of all, so that nothing new is asked for. They get a moment for the requests under way."""
    waited = 0.0
    while servers := register.running(root):
        for server in servers:
            if not server.alone:
                message = f"process {server.pid} serves {root} at {server.url}; end that first"
                raise _refused(root, message)
            with suppress(ProcessLookupError):
                os.kill(
                    server.pid, signal.SIGTERM if waited < _SERVER_PATIENCE_IN_SECONDS else signal.SIGKILL
                )
        waited += 0.05
        sleep(0.05)


def _refused(root: Path, message: str) -> ConfigError:
    return ConfigError(message, field="IFT_LOCAL_ROOT", value=str(root))


def _remove(root: Path) -> None:
    for name in _FOLDERS:
        if (root / name).exists():
            remove_tree(root / name)
    for name in _FILES:
        (root / name).unlink(missing_ok=True)
    try:
        root.rmdir()
    except OSError as error:
        raise _refused(root, f"{root} could not be removed whole: {error.strerror}") from error


def _runner(settings: LocalSettings) -> str:
    try:
        return isolation.choose(settings).name
    except ServiceError as error:
        return f"none: {error.message}"


def _named(context: Context, kind: str, name: str, state: str) -> dict[str, str]:
    return {found[name]: found[state] for found in all_current(context, kind)}


def _supervisors(root: Path) -> Iterator[tuple[Process, list[str]]]:
    """Each running supervisor of this root with its arguments: root, kind, name, lease."""
    for process in everything():
        words = _command(process.pid)
        if words[1:4] == ["-m", launch.MODULE, str(root)]:
            yield process, words[3:]


def _running(root: Path) -> Iterator[Process]:
    """Supervisors, what they started, and what is left of programs whose supervisor died."""
    seen: set[int] = set()
    stack = [process for process, _ in _supervisors(root)]
    if (root / STATE_FILE).exists():
        stack += _orphans(root)
    while stack:
        process = stack.pop()
        if process.pid not in seen:
            seen.add(process.pid)
            yield process
            stack += children(process.pid)


def _orphans(root: Path) -> list[Process]:
    records = [record for _, document in _documents(root) for record in document.get("_programs", [])]
    return [process for record in records for process in remains(record)]


def _documents(root: Path) -> list[tuple[str, Document]]:
    from ift_sagemaker.local.state.store import Store

    # a damaged state, or one of another version, names nobody, and must not keep a reset from it
    with suppress(sqlite3.DatabaseError, ConfigError):
        store = Store(root)
        try:
            return [(kind, document) for kind in KINDS for document in store.list(kind)]
        finally:
            store.close()
    return []


def _containers(settings: LocalSettings) -> list[tuple[Engine, str]]:
    """All containers of this root, with their engines: those of work that has not ended, and the one set.

    Raises ConfigError where an engine of unfinished work does not answer.
    """
    if not (settings.root / STATE_FILE).exists():
        return []
    supervised = [
        document
        for kind, document in _documents(settings.root)
        if KINDS[kind].behaviour.is_supervised(document)
    ]
    needed = {document["_runner"] for document in supervised}
    found = []
    for name in sorted({settings.runner} | needed):
        engine = isolation.engine_of(name)
        try:
            found += [(engine, container) for container in engine.containers(settings.root)] if engine else []
        except EngineError as error:
            if name in needed:
                raise ConfigError(str(error), field="IFT_LOCAL_RUNNER", value=name) from error
    return found


def _containers_told(settings: LocalSettings) -> list[str]:
    try:
        return sorted(container for _, container in _containers(settings))
    except ConfigError as error:
        return [f"unknown: {error.message}"]


def _command(pid: int) -> list[str]:
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [word.decode("utf-8", "replace") for word in raw.split(b"\0") if word]


def _ports(pid: int) -> Iterator[int]:
    """TCP ports on which the process listens, matched by the inodes of its open sockets."""
    inodes = set()
    with suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / str(pid) / "net" / table).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and fields[9] in inodes:
                    yield int(fields[1].rpartition(":")[2], 16)


def _size(root: Path) -> int:
    """Bytes under the root; files that several names share count once."""
    inodes: dict[int, int] = {}
    for folder, _, files in os.walk(root):
        for name in files:
            with suppress(OSError):
                found = os.lstat(Path(folder) / name)
                inodes[found.st_ino] = found.st_size
    return sum(inodes.values())
