"""Container engines by their command lines: docker, and those that take docker's words.

docker and podman are run in this project's tests. finch and nerdctl get the same words; that they understand
them is known from their manuals alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ENGINES = ("docker", "podman", "finch", "nerdctl")
ML_ROOT_LABEL = "ift-sagemaker.ml-root"
"""Label of our containers: the folder behind `/opt/ml`, ROOT/jobs/NAME/HOST/opt/ml or the like."""
SECONDS = 60.0
"""How long an engine may take for one command: a busy disk makes the slowest, `run`, take seconds."""
PASSED = (
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINER_HOST",
    "CONTAINERD_ADDRESS",
    "CONTAINERD_NAMESPACE",
)
"""What of the caller's environment says where an engine is and where it keeps its images."""


class EngineError(Exception):
    """An engine refused; the text holds its own last words."""


class EngineSilent(EngineError):  # noqa: N818 - what it does
    """An engine is not there, or did not answer in time."""


def environment_of(caller: Mapping[str, str]) -> dict[str, str]:
    """The environment of an engine's command line."""
    return {name: caller[name] for name in PASSED if name in caller}


@dataclass(frozen=True)
class Engine:
    """One engine. `program` is its command line, by default what the PATH has under its name."""

    name: str
    program: str = ""
    seconds: float = SECONDS
    environment: Mapping[str, str] = field(default_factory=lambda: environment_of(os.environ))

    def command(self, *words: str) -> list[str]:
        """The arguments of a process that gives the engine these words."""
        return [self.program or shutil.which(self.name) or self.name, *words]

    def call(self, *words: str, pass_fds: Sequence[int] = (), cwd: Path = Path("/")) -> str:
        """What the engine printed. podman's monitor stays in `cwd`, and writes there of memory that ran out.

        Raises:
            EngineSilent: there is no such program, or it took more than `seconds`.
            EngineError: it refused.
        """
        try:
            done = subprocess.run(
                self.command(*words),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.seconds,
                check=False,
                env=dict(self.environment),
                pass_fds=tuple(pass_fds),
                cwd=cwd,
            )
        except subprocess.TimeoutExpired:
            raise EngineSilent(
                f"{self.name} did not answer `{words[0]}` within {self.seconds:g} seconds;"
                f" see whether `{self.name} ps` does, and restart the engine"
            ) from None
        except OSError as error:
            raise EngineSilent(
                f"{self.name} cannot be run ({error.strerror}); install it,"
                " or set IFT_LOCAL_RUNNER to another"
            ) from None
        if done.returncode:
            said = _last_words(done.stderr) or f"exit code {done.returncode}"
            raise EngineError(f"{self.name} {words[0]}: {said}")
        return done.stdout.decode("utf-8", "replace")

    def works(self) -> bool:
        """Whether it answers."""
        try:
            self.call("ps", "--quiet")
        except EngineError:
            return False
        return True

    def image_id(self, image: str) -> str | None:
        """64 hexadecimal digits of an image that is on this machine, None where it is not. Pulls nothing.

        Raises EngineSilent.
        """
        try:
            found = self.call("image", "inspect", "--format", "{{.Id}}", image)
        except EngineError as error:
            self._answers(error)
            return None
        return found.strip().removeprefix("sha256:") or None

    def containers(self, below: Path) -> list[str]:
        """Our containers whose `/opt/ml` is below a folder, running or not. Raises EngineError."""
        listed = self.call("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={ML_ROOT_LABEL}")
        return [container for container in listed.split() if self._is_below(container, below)]

    def _is_below(self, container: str, folder: Path) -> bool:
        form = f'{{{{index .Config.Labels "{ML_ROOT_LABEL}"}}}}'
        try:
            root = self.call("inspect", "--format", form, container).strip()
        except EngineError as error:  # removed just now
            self._answers(error)
            return False
        return Path(root).is_relative_to(folder)

    def running_or_code(self, container: str) -> bool | int | None:
        """True while it runs, its exit code once it has ended, None where it is gone. Raises EngineSilent."""
        try:
            told = self.call("inspect", "--format", "{{.State.Running}} {{.State.ExitCode}}", container)
        except EngineError as error:
            self._answers(error)
            return None
        running, _, code = told.strip().partition(" ")
        return True if running == "true" else int(code)

    def kill(self, container: str, signal: str) -> None:
        """Sends a signal, by its short name, to the container's first process. Raises EngineError."""
        self.call("kill", "--signal", signal, container)

    def remove(self, container: str) -> None:
        """Ends and removes a container at once. Raises EngineSilent; one that is gone is no error."""
        # podman's `rm --force` asks politely first, and waits ten seconds for the answer
        for words in (("kill", "--signal", "KILL", container), ("rm", "--force", container)):
            try:
                self.call(*words)
            except EngineError as error:
                self._answers(error)

    def _answers(self, error: EngineError) -> None:
        """Raises EngineSilent where the refusal was no answer: the program is there, its daemon is not."""
        if isinstance(error, EngineSilent):
            raise error
        if not self.works():
            raise EngineSilent(f"{self.name} does not answer: {error}") from error


def _last_words(errors: bytes) -> str:
    lines = [line.strip() for line in errors.decode("utf-8", "replace").splitlines()]
    told = [line for line in lines if line and not line.startswith("Run '")]
    return told[-1][:600] if told else ""
