"""The runner with a container engine: an image's own files, no network for training, limits that hold."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ift_sagemaker.local.running.engines import ML_ROOT_LABEL, Engine, EngineError, EngineSilent
from ift_sagemaker.local.running.limits import Limits, open_files, user_processes
from ift_sagemaker.local.running.runner import (
    Isolation,
    Launch,
    Program,
    StartError,
    default_environment,
    sealed_text,
    spawn,
)
from ift_sagemaker.wire.paths import ML_ROOT

USER = 1000
"""Who a program is inside where the caller is root: a program never is."""
PORT = 8080
"""Where SageMaker's containers listen."""
PROCESSES = 4096
KILLED = 137
_LOG_PATIENCE = 10.0
_KILL_PATIENCE = 10.0
_PAUSE = 0.02
_SILENT_PAUSE = 0.5
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNMOUNTABLE = re.compile(r'[,"\n]')


@dataclass
class ContainerProgram:
    """A started container, its output followed by one process of the engine and its end by another."""

    engine: Engine
    container: str
    output: int
    silence: float = 60.0
    """For how many seconds an engine may be away, being started anew, say, before that is an error."""
    _log: subprocess.Popen[bytes] = field(init=False)
    _waiter: subprocess.Popen[bytes] = field(init=False)
    _told: int = field(default=-1, init=False)
    _ended: tuple[int, float] | None = field(default=None, init=False)
    _code: int | None = field(default=None, init=False)
    _ask_after: float = field(default=0.0, init=False)
    _silent_since: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._log = self._follow("logs", "--follow", self.container, output=self.output)
        self._wait_for_end()

    def record(self) -> dict[str, Any]:
        return {"engine": self.engine.name, "container": self.container}

    def poll(self) -> int | None:
        if self._code is None:
            self._ended = self._ended or self._end()
            if self._ended and self._has_told_all(self._ended[1]):
                self._finish(self._ended[0])
        return self._code

    def wait(self, timeout: float) -> int | None:
        deadline = time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        return self._code

    def terminate(self) -> None:
        if self.poll() is None:
            self._signal("TERM")

    def kill(self) -> None:
        """As for every program; the container is removed as well, for nobody may ask again."""
        if self._code is not None:
            return
        self._signal("KILL")
        with suppress(subprocess.TimeoutExpired):
            self._waiter.wait(_KILL_PATIENCE)
        self._ended = self._ended or self._end()
        with suppress(subprocess.TimeoutExpired):
            self._log.wait(1)
        self.engine.remove(self.container)

    def _signal(self, name: str) -> None:
        try:
            self.engine.kill(self.container, name)
        except EngineSilent:
            raise
        except EngineError:  # it has just ended
            return

    def _follow(self, *words: str, output: int) -> subprocess.Popen[bytes]:
        return spawn(self.engine.command(*words), self.engine.environment, output, cwd=Path("/"))

    def _wait_for_end(self) -> None:
        self._told, writable = os.pipe()
        try:
            self._waiter = self._follow("wait", self.container, output=writable)
        finally:
            os.close(writable)

    def _end(self) -> tuple[int, float] | None:
        """The exit code and when it was learnt; None while the container runs, or the engine is away."""
        if self._waiter.poll() is None:
            return None
        words: list[bytes] = []
        if self._told >= 0:
            words = os.read(self._told, 4096).split()
            os.close(self._told)
            self._told = -1
        if self._waiter.returncode == 0 and words and words[-1].isdigit():
            return int(words[-1]), time.monotonic()
        # the engine itself was started anew, or somebody removed the container
        now = time.monotonic()
        if now < self._ask_after:
            return None
        self._ask_after = now + _SILENT_PAUSE
        try:
            state = self.engine.running_or_code(self.container)
        except EngineSilent:
            self._silent_since = self._silent_since or now
            if now > self._silent_since + self.silence:
                self._unfollow()
                raise
            return None
        self._silent_since = None
        if state is True:
            self._wait_for_end()
            return None
        return KILLED if state is None else int(state), time.monotonic()

    def _has_told_all(self, since: float) -> bool:
        return self._log.poll() is not None or time.monotonic() > since + _LOG_PATIENCE

    def _unfollow(self) -> None:
        if self._log.poll() is None:
            self._log.kill()
            self._log.wait()

    def _finish(self, code: int) -> None:
        self._code = code
        self._unfollow()
        with suppress(EngineError):
            self.engine.remove(self.container)


class ContainerRunner:
    """One engine from the PATH. `user` is who a program is inside."""

    def __init__(
        self, engine: Engine, limits: Limits | None = None, user: tuple[int, int] | None = None
    ) -> None:
        self.engine = engine
        self.name = engine.name
        self._limits = limits or Limits()
        self._user = user or program_user()

    def isolation(self, *, network: bool) -> Isolation:
        closed = () if network else ("network isolation",)
        shared = ("network isolation (its port is open on loopback, and it may call out)",) if network else ()
        return Isolation(
            enforced=(
                *closed,
                "cleared environment",
                "an image's files alone, read-only",
                "read-only inputs",
                "separation from other processes",
                f"at most {PROCESSES} processes",
                *self._limits.told(),
            ),
            unenforced=(*shared, *self._limits.open(), "disk space"),
        )

    def start(self, launch: Launch) -> Program:
        words = arguments(launch, self.name, self._limits, self._user)
        variables = sealed_text(variables_as_file(container_environment(launch)))
        try:
            (launch.scratch / "home").mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                for folder in (launch.ml_root, launch.scratch):
                    hand_over(folder, *self._user)
            # the end of a descriptor's name is read once; it has no name on disk and is in nobody's arguments
            told = ("run", "--env-file", f"/proc/self/fd/{variables}", *words)
            container = self.engine.call(*told, pass_fds=(variables,), cwd=launch.ml_root.parent).split()[-1]
        except (EngineError, OSError, IndexError) as error:
            with suppress(EngineError):
                self._remove_all(launch.ml_root)
            raise StartError(str(error)) from error
        finally:
            os.close(variables)
        return ContainerProgram(self.engine, container, launch.output)

    def end_remains(self, records: Sequence[dict[str, Any]], home: Path) -> None:
        """Raises EngineError where the engine does not answer: what may still run must not be forgotten."""
        for record in records:
            if record.get("engine") == self.name:
                self.engine.remove(record["container"])
        self._remove_all(home)

    def _remove_all(self, below: Path) -> None:
        for container in self.engine.containers(below):
            self.engine.remove(container)


def program_user() -> tuple[int, int]:
    """User and group of a program inside: the caller's own, so that it owns what comes out; for root 1000."""
    return (USER, USER) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def arguments(launch: Launch, engine: str, limits: Limits, user: tuple[int, int]) -> list[str]:
    """What follows `run` for a program, without its variables.

    Raises:
        StartError: what is asked cannot be said to an engine.
    """
    if len(launch.hosts) > 1:
        raise StartError(f"several hosts are not offered with the runner {engine}")
    if not launch.image:
        raise StartError(f"no image is named for the runner {engine}")
    command = list(launch.command)
    entrypoint = ["--entrypoint", command.pop(0)] if launch.replaces_entrypoint else []
    return [
        *("--detach", "--pull=never", "--label", f"{ML_ROOT_LABEL}={launch.ml_root}"),
        *("--hostname", launch.host, "--user", f"{user[0]}:{user[1]}"),
        *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *_limits(engine, limits),
        *_network(launch),
        *_mounts(launch),
        *entrypoint,
        launch.image,
        *command,
    ]


def _limits(engine: str, limits: Limits) -> Iterator[str]:
    yield from ("--pids-limit", str(PROCESSES), "--ulimit", "core=0:0")
    if limits.memory:
        yield from ("--memory", str(limits.memory), "--memory-swap", str(limits.memory))
    if limits.processors:
        yield from ("--cpus", f"{limits.processors:g}")
    if engine == "podman":
        # its own defaults are above what a process without CAP_SYS_RESOURCE may set
        files, processes = open_files(), user_processes()
        yield from ("--ulimit", f"nofile={files}:{files}", "--ulimit", f"nproc={processes}:{processes}")
        if os.geteuid():
            yield "--userns=keep-id"


def _network(launch: Launch) -> tuple[str, ...]:
    if not launch.network:
        return ("--network", "none")
    if launch.port is None:
        raise StartError("a program with a network needs a port")
    return ("--publish", f"127.0.0.1:{launch.port}:{PORT}")


def _mounts(launch: Launch) -> Iterator[str]:
    yield from ("--mount", _mount(launch.ml_root, ML_ROOT))
    for name in launch.read_only:
        yield from ("--mount", f"{_mount(launch.ml_root / name, f'{ML_ROOT}/{name}')},readonly")
    # on disk, as on AWS: a tmpfs would count as the program's memory
    yield from ("--mount", _mount(launch.scratch, "/tmp"))  # noqa: S108 - inside


def _mount(source: Path, target: str) -> str:
    if _UNMOUNTABLE.search(str(source)):
        raise StartError(
            f"an engine cannot mount {str(source)!r}: commas, quotes and line ends divide its words"
        )
    return f"type=bind,source={source},target={target}"


def container_environment(launch: Launch) -> dict[str, str]:
    """The variables of a program inside an image, where this machine's Python and folders are not."""
    outside = {"PATH": default_environment()["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    found = {name: value for name, value in launch.environment.items() if outside.get(name) != value}
    if launch.port is not None:
        found["SAGEMAKER_BIND_TO_PORT"] = str(PORT)
        found["IFT_BIND_HOST"] = "0.0.0.0"  # noqa: S104 - inside; outside only loopback leads there
    return {**found, "HOME": "/tmp/home", "TMPDIR": "/tmp"}  # noqa: S108 - inside


def variables_as_file(environment: Mapping[str, str]) -> bytes:
    """The content of an engine's `--env-file`.

    Raises:
        StartError: a name or a value cannot be in one.
    """
    lines = []
    for name, value in environment.items():
        if not _NAME.fullmatch(name):
            raise StartError(f"{name!r} cannot be an environment variable of a container")
        if any(mark in value for mark in "\0\n\r"):
            raise StartError(f"the variable {name} holds a line end, which an engine's --env-file cannot")
        lines.append(f"{name}={value}\n")
    return "".join(lines).encode()


def hand_over(folder: Path, user: int, group: int) -> None:
    """Makes `user` the owner of a folder and all in it, without following a link."""
    os.chown(folder, user, group, follow_symlinks=False)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(place) / name, user, group, follow_symlinks=False)
