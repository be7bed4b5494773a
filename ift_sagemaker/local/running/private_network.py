"""One network for the sandboxes of a run: its hosts reach each other by name, and nothing else.

The network is a namespace with a loopback interface alone. Two open files keep it there, no process does, so
it goes when the supervisor goes, however that ends. Each host has a loopback address of its own.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import weakref
from collections.abc import Sequence
from contextlib import suppress

from ift_sagemaker.local.running.runner import Launch, StartError

ENTER = "nsenter"
HOSTS_FILE = "/etc/hosts"
_TIMEOUT = 10.0
_KINDS = ("user", "net")


class PrivateNetwork:
    """A network namespace, and the user namespace that owns it.

    Raises:
        StartError: this machine grants no such namespaces, or `nsenter` is missing.
    """

    def __init__(self, bwrap: str) -> None:
        self._enter = shutil.which(ENTER)
        if self._enter is None:
            raise StartError(f"several hosts in sandboxes need {ENTER} (package util-linux)")
        self._files = dict(zip(_KINDS, _namespaces(bwrap), strict=True))
        weakref.finalize(self, _close, tuple(self._files.values()))

    def entering(self) -> list[str]:
        """What stands before a command that is to run in this network."""
        # by this process's open files: the namespaces have no other name, and nobody inherits them
        where = [f"--{kind}=/proc/{os.getpid()}/fd/{number}" for kind, number in self._files.items()]
        return [str(self._enter), *where, "--preserve-credentials"]


def is_shared(launch: Launch) -> bool:
    """Whether a program shares a private network with others."""
    return len(launch.hosts) > 1 and not launch.network


def hosts_file(launch: Launch) -> bytes:
    """`/etc/hosts` of a program that has no outside network; empty for one that keeps the machine's own."""
    if launch.network:
        return b""
    named = launch.hosts or {launch.host: "127.0.0.1"}
    lines = ["127.0.0.1 localhost", "::1 localhost", *(f"{where} {name}" for name, where in named.items())]
    return "".join(f"{line}\n" for line in lines).encode()


def _namespaces(bwrap: str) -> list[int]:
    """The namespaces that a short-lived bwrap made, held open."""
    readable, writable = os.pipe()
    try:
        command = [bwrap, "--info-fd", str(writable), "--unshare-user", "--unshare-net"]
        holder = _start([*command, "--die-with-parent", "--ro-bind", "/", "/", "--", "cat"], writable)
        os.close(writable)
        writable = -1
        with holder:
            try:
                return _opened(holder, readable)
            except StartError:
                holder.kill()
                raise
    finally:
        for descriptor in (readable, writable):
            if descriptor >= 0:
                os.close(descriptor)


def _start(command: Sequence[str], passed: int) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    try:
        return subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet, pass_fds=(passed,)
        )
    except OSError as error:
        raise StartError(f"{command[0]}: {error.strerror}") from error


def _opened(holder: subprocess.Popen[bytes], information: int) -> list[int]:
    stdin, stdout = holder.stdin, holder.stdout
    inside = 0
    # one byte through `cat`: only then is the loopback interface up
    with suppress(OSError, ValueError, KeyError):
        if stdin is not None and stdout is not None:
            os.write(stdin.fileno(), b".")
            if select.select([stdout], [], [], _TIMEOUT)[0] and stdout.read(1):
                inside = json.loads(os.read(information, 4096))["child-pid"]
    if not inside:
        raise StartError("bwrap could not make a network for several hosts")
    found: list[int] = []
    try:
        for kind in _KINDS:
            found.append(os.open(f"/proc/{inside}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401
    except OSError as error:
        _close(tuple(found))
        raise StartError(f"the network for several hosts could not be held: {error.strerror}") from error
    return found


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
