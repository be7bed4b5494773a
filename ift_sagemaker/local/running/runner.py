"""Running a program where `/opt/ml` is a folder of ours: what every runner promises, and the plain one."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ift_sagemaker.local.running import processes
from ift_sagemaker.local.running.limits import (
    ControlGroup,
    Limits,
    bound_resources,
    can_limit,
    group_name,
    group_of,
    make_group,
)
from ift_sagemaker.wire.paths import ML_ROOT, ML_ROOT_VARIABLE

COVERAGE = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ML_ROOT_PATH = re.compile(rf"(?<![\w./-]){re.escape(ML_ROOT)}(?![\w.-])")
_PAUSE = 0.01
_ROUNDS = 200
_LIBC = ctypes.CDLL(None, use_errno=True)


class StartError(Exception):
    """The program could not be started; the text says why."""


@dataclass(frozen=True)
class Isolation:
    """What a runner keeps from a program, and what it does not."""

    enforced: tuple[str, ...]
    unenforced: tuple[str, ...]

    def record(self) -> dict[str, list[str]]:
        return {"enforced": list(self.enforced), "unenforced": list(self.unenforced)}


@dataclass(frozen=True)
class Launch:
    """A program to start. Command and environment are in the container's paths.

    `ml_root` is the folder behind `/opt/ml`, `scratch` the one behind its home and temporary files,
    `read_only` folders under `/opt/ml` it may not write, `hidden` folders of this machine it may not see,
    `output` the descriptor for its standard output and error. `image` is what a container engine starts; the
    other runners run the command in this Python's environment. `host` is this host's name, `hosts` the names
    and addresses of all hosts of the run where there are several. `port` is where a serving program listens,
    on this machine. With `replaces_entrypoint` the command stands in place of the image's own entrypoint,
    else it is what that one is given.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    ml_root: Path
    scratch: Path
    output: int
    network: bool = False
    read_only: tuple[str, ...] = ()
    hidden: tuple[Path, ...] = ()
    image: str = ""
    host: str = "algo-1"
    hosts: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    replaces_entrypoint: bool = False


class Program(Protocol):
    """A started program."""

    def record(self) -> dict[str, Any]:
        """What another process needs to end what is left of it: plain data for `Runner.end_remains`."""

    def poll(self) -> int | None:
        """The exit code as a container engine tells it (128 + the signal's number), None while running."""

    def wait(self, timeout: float) -> int | None:
        """Like `poll`, after waiting up to `timeout` seconds."""

    def terminate(self) -> None:
        """Sends SIGTERM to the program itself, as AWS does to a container's first process."""

    def kill(self) -> None:
        """Ends the program and all it started, at once."""


class Runner(Protocol):
    """A way to run programs. `name` is what the settings call it."""

    name: str

    def isolation(self, *, network: bool) -> Isolation:
        """What holds for a program started with or without the network."""

    def start(self, launch: Launch) -> Program:
        """The started program. Raises StartError."""

    def end_remains(self, records: Sequence[dict[str, Any]], home: Path) -> None:
        """Ends what is left of programs whose supervisor died: those recorded, and any below `home`."""


@dataclass
class ProcessProgram:
    """A direct child that leads its own session; nothing of the session outlives it."""

    process: subprocess.Popen[bytes]
    group: ControlGroup | None = field(default=None, kw_only=True)
    _code: int | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    def record(self) -> dict[str, Any]:
        who = processes.identify(self.pid)
        return who.record() if who else {}

    def poll(self) -> int | None:
        if self._code is None and self._ended(os.WNOHANG):
            self._finish()
        return self._code

    def wait(self, timeout: float) -> int | None:
        deadline = time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        return self._code

    def terminate(self) -> None:
        self.send(signal.SIGTERM)

    def send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        if self._code is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _ended(self, flags: int) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | flags) is not None

    def _finish(self) -> None:
        # the dead leader is not reaped yet, so the group's number cannot be anybody else's
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._code = container_code(self.process.wait())
        if self.group is not None:
            self.group.remove(processes.kill_number)


def container_code(code: int) -> int:
    """Python's exit status as a container engine prints it: killed by signal n is 128 + n."""
    return 128 - code if code < 0 else code


class ProcessRunner:
    """A plain process in its own session. It exists everywhere and hides nothing."""

    name = "process"

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def isolation(self, *, network: bool) -> Isolation:
        asked = () if network else ("network isolation",)
        limited, unlimited = told_limits(self._limits)
        return Isolation(
            enforced=("cleared environment", "own process group", *limited),
            unenforced=(
                *asked,
                "read-only inputs (file modes only)",
                "separation from other files and processes",
                *unlimited,
            ),
        )

    def start(self, launch: Launch) -> Program:
        home = launch.scratch / "home"
        home.mkdir(parents=True, exist_ok=True)
        environment = {name: self.rewrite(launch, value) for name, value in launch.environment.items()}
        environment |= {
            "HOME": str(home),
            "TMPDIR": str(launch.scratch),
            ML_ROOT_VARIABLE: str(launch.ml_root),
        }
        command = [self.rewrite(launch, part) for part in launch.command]
        group = limited_group(self._limits, launch.ml_root)
        process = spawn(command, environment, launch.output, cwd=launch.ml_root, group=group)
        return ProcessProgram(process, group=group)

    def end_remains(self, records: Sequence[dict[str, Any]], home: Path) -> None:
        end_processes(records, home)

    @staticmethod
    def rewrite(launch: Launch, text: str) -> str:
        """`text` with every path under `/opt/ml` put under the folder that stands for it."""
        return _ML_ROOT_PATH.sub(lambda _: str(launch.ml_root), text)


def end_processes(records: Sequence[dict[str, Any]], home: Path) -> None:
    """Ends recorded sessions and every process whose `/opt/ml` is below `home`."""
    for record in records:
        processes.end(lambda record=record: processes.remains(record))  # type: ignore[misc]
    # a supervisor may die in the moment before it could record its program
    processes.end(lambda: processes.marked(home))
    for ml_root in home.glob("*/opt/ml"):
        group = group_of(ml_root)
        if group is not None:
            group.remove(processes.kill_number)


def told_limits(limits: Limits) -> tuple[list[str], list[str]]:
    """Which limits hold for a process of this machine, and which do not."""
    if not limits.told() or can_limit(limits):
        return limits.told(), limits.open()
    return [], [f"{limit} (no control group can be made here)" for limit in limits.told()] + limits.open()


def limited_group(limits: Limits, ml_root: Path) -> ControlGroup | None:
    """The group in which a program keeps to its limits, None where there are none or this machine has none.

    Raises StartError where a limit that is told as enforced cannot be set after all.
    """
    if not limits.told():
        return None
    group = make_group(group_name(ml_root), limits)
    if group is None and can_limit(limits):
        raise StartError("its limits could not be set: no control group could be made")
    return group


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    output: int,
    *,
    cwd: Path,
    pass_fds: tuple[int, ...] = (),
    group: ControlGroup | None = None,
) -> subprocess.Popen[bytes]:
    """A child that leads its own session and dies with the thread that started it."""
    parent = os.getpid()

    def die_with_parent() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(137)
        bound_resources()
        if group is not None:
            group.enter()

    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
            pass_fds=pass_fds,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - system calls alone, no lock of ours
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        if group is not None:
            group.remove(processes.kill_number)
        raise StartError(f"{command[0]}: {getattr(error, 'strerror', None) or error}") from error


def sealed_text(content: bytes) -> int:
    """A descriptor to read `content` from, which has no name that another process could open."""
    descriptor = os.memfd_create("arguments")
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def introduction(runner: Runner, asked: str, executed: str, *, network: bool) -> list[str]:
    """The first log lines of every run: what was asked for, what runs in its place, and how shut in."""
    isolation = runner.isolation(network=network)
    return [
        f"ift-local: image asked for: {asked}",
        f"ift-local: executed in its place: {executed}",
        f"ift-local: runner {runner.name}; enforced: {'; '.join(isolation.enforced)}",
        f"ift-local: runner {runner.name}; not enforced: {'; '.join(isolation.unenforced)}",
    ]


def become_subreaper() -> None:
    """Makes orphans among this process's descendants its own children, so that it can end them."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> None:
    """Kills all that is left below this process, which is a subreaper."""
    for _ in range(_ROUNDS):
        if not processes.kill_children(os.getpid()):
            return
        time.sleep(_PAUSE)


def default_environment() -> dict[str, str]:
    """What every program gets: this Python first on the PATH, and nothing of the caller's."""
    folders = (str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")
    return {
        "PATH": ":".join(folders),
        "LANG": "C.UTF-8",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
