"""The runner with namespaces: a true `/opt/ml`, no network for training, the machine read-only."""

from __future__ import annotations

import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ift_sagemaker.local.running import processes
from ift_sagemaker.local.running.limits import ControlGroup, Limits
from ift_sagemaker.local.running.private_network import HOSTS_FILE, PrivateNetwork, hosts_file, is_shared
from ift_sagemaker.local.running.runner import (
    Isolation,
    Launch,
    ProcessProgram,
    Program,
    StartError,
    end_processes,
    limited_group,
    sealed_text,
    spawn,
    told_limits,
)
from ift_sagemaker.wire.paths import ML_ROOT

PROGRAM = "bwrap"
HOST = "algo-1"
_START_TIMEOUT = 10.0
_DEVICES = ("nvidia*", "kfd", "dri")
_SYSTEM = ("/usr", "/etc", "/lib", "/bin", "/proc")


@dataclass
class BubblewrapProgram(ProcessProgram):
    """bwrap and what it holds. bwrap passes no signal on, so they go to the program inside."""

    inside: int = 0

    def send(self, number: int) -> None:
        """Sends a signal to the program: the eldest child of the namespace's first process."""
        for process in self._eldest():
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def terminate(self) -> None:
        if self.poll() is None:
            self.send(signal.SIGTERM)

    def kill(self) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.inside, signal.SIGKILL)  # the kernel ends the whole namespace with it
            super().kill()

    def _eldest(self) -> list[processes.Process]:
        return processes.children(self.inside)[:1]


class BubblewrapRunner:
    """`bwrap` from the PATH. Needs user namespaces, or root."""

    name = "bwrap"

    def __init__(self, program: str | None = None, limits: Limits | None = None) -> None:
        self._program = program or shutil.which(PROGRAM) or PROGRAM
        self._network: PrivateNetwork | None = None
        self._limits = limits or Limits()

    def isolation(self, *, network: bool) -> Isolation:
        closed = () if network else ("network isolation",)
        shared = ("network isolation (it serves on loopback)",) if network else ()
        limited, unlimited = told_limits(self._limits)
        return Isolation(
            enforced=(
                *closed,
                "cleared environment",
                "read-only machine and inputs",
                "home and local root hidden",
                "separation from other processes",
                *limited,
            ),
            unenforced=(*shared, *unlimited),
        )

    def start(self, launch: Launch) -> Program:
        (launch.scratch / "home").mkdir(parents=True, exist_ok=True)
        environment = {**launch.environment, "HOME": "/tmp/home", "TMPDIR": "/tmp"}  # noqa: S108 - private
        variables = sealed_text(variables_as_arguments(environment))
        names = sealed_text(hosts_file(launch))
        readable, writable = os.pipe()
        try:
            told = ("--info-fd", str(writable), "--args", str(variables))
            bwrap = [*self._entrance(launch), self._program, *told]
            covering = _names(launch, names)
            command = [*bwrap, *arguments(launch), *covering, "--", *launch.command]
            # bwrap itself runs outside: the program's variables (LD_PRELOAD) must not reach it
            passed = (writable, variables, *((names,) if covering else ()))
            group = limited_group(self._limits, launch.ml_root)
            process = spawn(command, {}, launch.output, cwd=Path("/"), pass_fds=passed, group=group)
            os.close(writable)
            writable = -1
            return self._started(process, readable, group)
        finally:
            for descriptor in (readable, writable, variables, names):
                if descriptor >= 0:
                    os.close(descriptor)

    def end_remains(self, records: Sequence[dict[str, Any]], home: Path) -> None:
        end_processes(records, home)

    def _entrance(self, launch: Launch) -> list[str]:
        """What leads into the network that all hosts of this runner's run share."""
        if not is_shared(launch):
            return []
        if self._network is None:
            self._network = PrivateNetwork(self._program)
        return self._network.entering()

    @staticmethod
    def _started(process: subprocess.Popen[bytes], information: int, group: ControlGroup | None) -> Program:
        text = _read_all(information, _START_TIMEOUT)
        try:
            inside = int(json.loads(text)["child-pid"])
        except (ValueError, KeyError):
            process.kill()
            process.wait()
            if group is not None:
                group.remove(processes.kill_number)
            raise StartError("bwrap could not make its namespaces; its own words are in the log") from None
        return BubblewrapProgram(process, group=group, inside=inside)


def variables_as_arguments(environment: Mapping[str, str]) -> bytes:
    """The arguments of bwrap, each ended by a NUL, that make `environment` the program's.

    Raises:
        StartError: a name or a value cannot be one.
    """
    words = ["--clearenv"]
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name + value:
            raise StartError(f"{name!r} cannot be an environment variable")
        words += ["--setenv", name, value]
    return b"".join(os.fsencode(word) + b"\0" for word in words)


def arguments(launch: Launch) -> list[str]:
    """The arguments of bwrap for a program, without the command."""
    network = ("--share-net",) if launch.network or is_shared(launch) else ()
    # unshared uts, else the machine's own host name would be changed
    base = ["--unshare-all", *network, "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    return [
        *base,
        *("--hostname", launch.host),
        *("--ro-bind", "/", "/"),
        *_devices(),
        *("--proc", "/proc"),
        *_hiding(launch),
        *("--bind", str(launch.ml_root), ML_ROOT),
        *(word for name in launch.read_only for word in _read_only(launch, name)),
        *("--chdir", ML_ROOT),
    ]


def _names(launch: Launch, descriptor: int) -> tuple[str, ...]:
    # bwrap makes no file on the read-only machine, it covers one
    covers = not launch.network and Path(HOSTS_FILE).is_file()
    return ("--ro-bind-data", str(descriptor), HOSTS_FILE) if covers else ()


def _read_only(launch: Launch, name: str) -> tuple[str, str, str]:
    return "--ro-bind", str(launch.ml_root / name), f"{ML_ROOT}/{name}"


def _devices() -> Iterator[str]:
    yield from ("--dev", "/dev")
    for pattern in _DEVICES:
        for path in sorted(Path("/dev").glob(pattern)):
            yield from ("--dev-bind-try", str(path), str(path))


def _hiding(launch: Launch) -> Iterator[str]:
    """Empty folders over what must not be seen, then the Python environment back where it was under one."""
    covered = [Path(path) for path in covered_folders(launch.hidden)]
    for path in covered:
        yield from ("--tmpfs", str(path))
    yield from ("--bind", str(launch.scratch), "/tmp")  # noqa: S108 - the sandbox's own
    yield from optional_software(Path("/opt"), covered)
    needed = [path for path in python_folders() if _is_below(path, (*covered, Path("/tmp")))]  # noqa: S108
    for path in needed:
        yield from ("--ro-bind", str(path), str(path))
    for path in covered:
        if _is_below(path, needed):
            yield from ("--tmpfs", str(path))


def optional_software(opt: Path, covered: Iterable[Path]) -> Iterator[str]:
    """What is in `/opt` but for `ml`, without the covered folders that are in it or hold it."""
    yield from ("--tmpfs", str(opt))
    covered = list(covered)
    if any(opt.is_relative_to(path) for path in covered) or not opt.is_dir():
        return
    for path in sorted(opt.iterdir()):
        if path.is_symlink():  # as a mount it would show again what is hidden where it leads
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.name != "ml" and path not in covered:
            yield from ("--ro-bind-try", str(path), str(path))
    for path in covered:
        if path.is_relative_to(opt):
            yield from ("--tmpfs", str(path))


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path != folder and path.is_relative_to(folder) for folder in folders)


def covered_folders(hidden: Iterable[Path]) -> list[str]:
    """Folders to hide: /run (sockets of daemons), the user's homes (credentials), and those asked for."""
    homes = {os.environ.get("HOME", ""), pwd.getpwuid(os.getuid()).pw_dir}
    wanted = {"/run", *homes, *map(str, hidden)}
    real = {os.path.realpath(path) for path in wanted if path and Path(path).is_dir()}
    return sorted(path for path in real if not _holds_the_system(path))


def _holds_the_system(path: str) -> bool:
    return any(Path(part).is_relative_to(path) for part in _SYSTEM)


def python_folders() -> list[Path]:
    """Where this Python environment lives, outermost folders only."""
    named = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path}
    package = Path(__file__).parents[2]
    found = {Path(os.path.realpath(path)) for path in named if path} | {Path(path) for path in named if path}
    # not the working copy around the package: there may be more in it than the program needs
    found = {path for path in found if path != package.parent} | {package}
    existing = sorted(path for path in found if path.is_absolute() and path.exists())
    return [path for path in existing if not _is_below(path, existing)]


def _read_all(descriptor: int, timeout: float) -> bytes:
    """What bwrap says about itself: one JSON document, then the end of the file."""
    text = b""
    while select.select([descriptor], [], [], timeout)[0]:
        data = os.read(descriptor, 4096)
        text += data
        if not data:
            break
    return text


@lru_cache(maxsize=4)
def works(program: str = PROGRAM) -> bool:
    """Whether bwrap can do here what the runner needs of it, found by doing it once."""
    found = shutil.which(program)
    if found is None:
        return False
    trial = [
        *(
            found,
            "--clearenv",
            "--setenv",
            "PATH",
            os.defpath,
            "--unshare-all",
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
        ),
        *("--hostname", HOST, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
        *("--tmpfs", "/opt", "--dir", ML_ROOT, "--", "true"),
    ]
    try:
        return subprocess.run(trial, capture_output=True, timeout=_START_TIMEOUT, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
