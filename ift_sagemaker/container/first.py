"""The first process of our images: it passes signals on, buries orphans and keeps the program's exit code.

A container's first process gets no signal that it has no handler for, and the orphans of all others; a Python
program is ready for neither. So this one starts the program and does nothing else.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from ift_sagemaker.container.lifecycle import FAILURE_LIMIT, say
from ift_sagemaker.wire.paths import MLPaths

PROGRAMS = ("train", "evaluate", "serve", "convert")
PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
NOT_FOUND, NOT_RUNNABLE = 127, 126


def run(words: Sequence[str]) -> int:
    """The exit code of a program of ours by its name, or of any other command; 128 + n for signal n.

    Why a program could not be started, or that it was killed, goes to the failure file if it wrote none.
    """
    command = list(words) or ["train"]
    if command[0] in PROGRAMS:
        command = [sys.executable, "-P", "-m", "ift_sagemaker.container", *command]
    signal.pthread_sigmask(signal.SIG_BLOCK, (*PASSED_ON, signal.SIGCHLD))
    try:
        child = _start(command)
    except OSError as error:
        _explain(f"{command[0]} cannot be started: {error.strerror}")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE
    code = _until_end(child)
    if code == 128 + signal.SIGKILL:
        _explain("the program was killed by signal 9")
    return code


def ping() -> int:
    """0 where the server of this container says that it is ready, else 1: the image's HEALTHCHECK."""
    from http.client import HTTPConnection, HTTPException

    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or 8080)
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/ping")
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, HTTPException):
        return 1
    finally:
        connection.close()


def _start(command: list[str]) -> int:
    """Process number of the program, which starts with no signal blocked or ignored."""
    ignored = (signal.SIGPIPE, signal.SIGXFSZ)  # by Python, for itself
    return os.posix_spawnp(command[0], command, os.environ, setsigmask=(), setsigdef=ignored)


def _until_end(child: int) -> int:
    while True:
        number = signal.sigwait((*PASSED_ON, signal.SIGCHLD))
        if number != signal.SIGCHLD:
            os.kill(child, number)
            continue
        if (code := _bury(child)) is not None:
            return code


def _bury(child: int) -> int | None:
    """The program's exit code if it was among the dead; the others are orphans."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            found = 128 - code if code < 0 else code


def _explain(reason: str) -> None:
    say(reason)
    failure = MLPaths.from_environment().failure
    try:
        failure.parent.mkdir(parents=True, exist_ok=True)
        with failure.open("x", encoding="utf-8") as file:
            file.write(reason[:FAILURE_LIMIT])
    except OSError:  # the program wrote its own, or this container has no such folder
        return
