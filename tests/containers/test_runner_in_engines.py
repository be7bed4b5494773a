"""The container runner: starting, signals, ends, what a program sees, and what is left of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ift_sagemaker.local.running.containers import ContainerRunner
from ift_sagemaker.local.running.engines import Engine
from ift_sagemaker.local.running.images import TRAIN_STAND_IN
from ift_sagemaker.local.running.limits import Limits
from ift_sagemaker.local.running.runner import Launch, Program, StartError, default_environment

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]
SAY_READY = "import os, signal, sys, time; print('ready', flush=True); time.sleep(60)"
SECONDS = 40


class Started:
    """A program and what it has printed."""

    def __init__(self, program: Program, output: int) -> None:
        self.program = program
        self.output = output
        self.text = ""

    def says(self, word: str) -> bool:
        while word not in self.text:
            data = os.read(self.output, 4096)
            if not data:
                return False
            self.text += data.decode()
        return True

    def all_said(self) -> str:
        while data := os.read(self.output, 4096):
            self.text += data.decode()
        return self.text


@contextmanager
def started(
    engine: Engine, folder: Path, *command: str, limits: Limits | None = None, **changes: object
) -> Iterator[Started]:
    for name in ("ml/input", "ml/model", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    readable, writable = os.pipe()
    launch = Launch(
        command,
        default_environment(),
        folder / "ml",
        folder / "tmp",
        writable,
        image=TRAIN_STAND_IN,
        read_only=("input",),
    )
    program = None
    try:
        program = ContainerRunner(engine, limits).start(replace(launch, **changes))  # type: ignore[arg-type]
        os.close(writable)
        yield Started(program, readable)
    finally:
        if program is not None:
            program.kill()
            assert program.wait(SECONDS) is not None
        os.close(readable)
        assert engine.containers(folder) == []


def test_exit_code_and_the_whole_output_are_those_of_the_program(engine: Engine, tmp_path: Path) -> None:
    code = "import sys; [print(n) for n in range(5000)]; print('last', file=sys.stderr); raise SystemExit(7)"
    with started(engine, tmp_path, "python3", "-c", code) as found:
        assert found.program.wait(SECONDS) == 7
        assert found.program.poll() == 7
        # an engine keeps the order within standard output and within standard error, not between them
        said = found.all_said().replace("last\n", "", 1)
        assert said == "".join(f"{n}\n" for n in range(5000))


def test_sigterm_reaches_the_program_which_may_write_a_checkpoint(engine: Engine, tmp_path: Path) -> None:
    handler = (
        "import signal, sys;"
        "signal.signal(signal.SIGTERM, lambda *_: (open('model/checkpoint', 'w').write('x'), sys.exit(9)));"
    )
    with started(engine, tmp_path, "python3", "-c", handler + SAY_READY) as found:
        assert found.says("ready")
        assert found.program.poll() is None
        found.program.terminate()
        assert found.program.wait(SECONDS) == 9
    assert (tmp_path / "ml/model/checkpoint").read_text() == "x"


def test_a_program_without_a_handler_ends_by_sigterm_as_143(engine: Engine, tmp_path: Path) -> None:
    with started(engine, tmp_path, "python3", "-c", SAY_READY) as found:
        assert found.says("ready")
        found.program.terminate()
        assert found.program.wait(SECONDS) == 143


def test_kill_ends_the_program_with_all_it_started(engine: Engine, tmp_path: Path) -> None:
    with started(engine, tmp_path, "sh", "-c", "sleep 81 & echo ready; sleep 82") as found:
        assert found.says("ready")
        found.program.kill()
        assert found.program.wait(SECONDS) == 137


def test_what_a_program_started_ends_with_it(engine: Engine, tmp_path: Path) -> None:
    with started(engine, tmp_path, "sh", "-c", "sleep 83 & exit 0") as found:
        assert found.program.wait(SECONDS) == 0


def test_a_program_sees_its_folders_its_variables_and_nothing_of_the_machine(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "ml/input").mkdir(parents=True)
    (tmp_path / "ml/input/x").write_text("in")
    code = """
import json, os, socket
def write(path):
    try:
        open(path, "w").close()
        return "written"
    except OSError as error:
        return error.strerror
print(json.dumps({
    "user": os.getuid(), "python": os.sys.executable, "folder": os.getcwd(), "host": socket.gethostname(),
    "input": open("/opt/ml/input/x").read(), "variables": dict(os.environ),
    "links": [name for _, name in socket.if_nameindex()],
    "writes": [write(f"{folder}/new") for folder in ("/opt/ml/input", "/", "/opt/ml/model", "/tmp")],
}), flush=True)
"""
    mine = {"MINE": " a 'b' \"c\" #d=$HOME\\n é ", "EMPTY": ""}
    with started(
        engine, tmp_path, "python3", "-c", code, environment={**default_environment(), **mine}
    ) as found:
        assert found.program.wait(SECONDS) == 0
        os.set_blocking(found.output, False)
        told = json.loads(os.read(found.output, 1 << 16))
    assert told["user"] == (1000 if os.geteuid() == 0 else os.geteuid())
    assert (told["folder"], told["host"], told["input"]) == ("/opt/ml", "algo-1", "in")
    assert told["python"] == "/opt/venv/bin/python3"
    assert told["links"] == ["lo"]
    read_only = "Read-only file system"
    assert told["writes"] == [read_only, read_only, "written", "written"]
    assert {name: told["variables"][name] for name in mine} == mine
    assert not [name for name in told["variables"] if "proxy" in name.lower() or name.startswith("AWS")]


def test_more_memory_than_the_limit_is_exit_code_137_and_says_so(engine: Engine, tmp_path: Path) -> None:
    code = "x = bytearray(400 * 2**20); print('too much', flush=True)"
    with started(engine, tmp_path, "python3", "-c", code, limits=Limits(128 * 2**20, 1.5)) as found:
        assert found.program.wait(SECONDS) == 137
    assert (tmp_path / "ml/output/failure").read_text() == "the program was killed by signal 9"


def test_secrets_are_in_no_arguments_of_the_engine(engine: Engine, tmp_path: Path) -> None:
    environment = {**default_environment(), "TOKEN": "very-secret"}
    with started(engine, tmp_path, "python3", "-c", SAY_READY, environment=environment) as found:
        assert found.says("ready")
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert b"very-secret" not in entry.read_bytes()
            except OSError:
                continue


def test_what_a_dead_supervisor_left_is_found_by_its_folder_and_ended(engine: Engine, tmp_path: Path) -> None:
    with started(engine, tmp_path, "python3", "-c", SAY_READY) as found:
        assert found.says("ready")
        assert len(engine.containers(tmp_path)) == 1
        assert engine.containers(tmp_path / "elsewhere") == []
        before = time.monotonic()
        ContainerRunner(engine).end_remains([], tmp_path)
        assert time.monotonic() - before < 8, "the engine waited for a program that ignores SIGTERM"
        assert engine.containers(tmp_path) == []
        assert found.program.wait(SECONDS) == 137


def test_an_image_that_is_not_there_cannot_be_started_and_nothing_is_pulled(
    engine: Engine, tmp_path: Path
) -> None:
    with (
        pytest.raises(StartError, match=r"no-such-image"),
        started(engine, tmp_path, "true", image="no-such-image:1"),
    ):
        pass


def test_a_command_that_is_not_in_the_image_leaves_no_container(engine: Engine, tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match=r"no-such-program"),
        started(engine, tmp_path, "no-such-program", replaces_entrypoint=True),
    ):
        pass
