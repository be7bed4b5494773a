"""Runners: how programs start, are signalled and end, and what they can see."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running import processes
from ift_sagemaker.local.running.bubblewrap import (
    BubblewrapRunner,
    arguments,
    covered_folders,
    optional_software,
    python_folders,
    variables_as_arguments,
    works,
)
from ift_sagemaker.local.running.isolation import choose, named
from ift_sagemaker.local.running.runner import (
    Launch,
    ProcessRunner,
    Program,
    Runner,
    StartError,
    default_environment,
)
from ift_sagemaker.local.state.settings import LocalSettings
from tests.unit.local.machine import Settle

SAY_READY = "import os, signal, sys, time; print('ready', flush=True); time.sleep(60)"
RUNNERS = [
    pytest.param(ProcessRunner(), id="process"),
    pytest.param(BubblewrapRunner(), id="bwrap", marks=pytest.mark.bwrap),
]


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


@contextmanager
def started(runner: Runner, folder: Path, *command: str) -> Iterator[Started]:
    (folder / "ml").mkdir(exist_ok=True)
    readable, writable = os.pipe()
    program = None
    try:
        program = runner.start(
            Launch(command, default_environment(), folder / "ml", folder / "tmp", writable)
        )
        os.close(writable)
        yield Started(program, readable)
    finally:
        if program is not None:
            program.kill()
            assert program.wait(5) is not None
        os.close(readable)


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_exit_code_is_that_of_the_program(runner: Runner, tmp_path: Path) -> None:
    with started(runner, tmp_path, "python3", "-c", "raise SystemExit(7)") as found:
        assert found.program.wait(10) == 7
        assert found.program.poll() == 7


@pytest.mark.parametrize("runner", RUNNERS)
def test_sigterm_reaches_the_program_and_its_own_answer_is_its_exit_code(
    runner: Runner, tmp_path: Path
) -> None:
    handler = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9));"
    with started(runner, tmp_path, "python3", "-c", handler + SAY_READY) as found:
        assert found.says("ready")
        assert found.program.poll() is None
        found.program.terminate()
        assert found.program.wait(10) == 9


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_program_without_a_handler_ends_by_sigterm_as_143(runner: Runner, tmp_path: Path) -> None:
    with started(runner, tmp_path, "python3", "-c", SAY_READY) as found:
        assert found.says("ready")
        found.program.terminate()
        assert found.program.wait(10) == 143


@pytest.mark.parametrize("runner", RUNNERS)
def test_kill_ends_the_program_with_all_it_started(runner: Runner, tmp_path: Path) -> None:
    with started(runner, tmp_path, "sh", "-c", "sleep 71 & echo ready; sleep 72") as found:
        assert found.says("ready")
        found.program.kill()
        assert found.program.wait(10) == 137
    assert Settle(3).until(lambda: not running(b"sleep\x0071") and not running(b"sleep\x0072"))


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_a_program_started_ends_with_it(runner: Runner, tmp_path: Path) -> None:
    with started(runner, tmp_path, "sh", "-c", "sleep 73 & exit 0") as found:
        assert found.program.wait(10) == 0
    assert Settle(3).until(lambda: not running(b"sleep\x0073"))


@pytest.mark.parametrize("runner", RUNNERS)
def test_signals_to_a_program_that_has_ended_go_nowhere(runner: Runner, tmp_path: Path) -> None:
    with started(runner, tmp_path, "python3", "-c", "") as found:
        assert found.program.wait(10) == 0
        found.program.terminate()
        found.program.kill()
        assert found.program.poll() == 0


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_python_environment_of_this_process_is_the_programs_own(runner: Runner, tmp_path: Path) -> None:
    code = "import sys, botocore; print(sys.prefix, sys.version_info[:3], 'end', flush=True)"
    with started(runner, tmp_path, "python3", "-c", code) as found:
        assert found.says("end")
    assert found.text.startswith(f"{sys.prefix} {sys.version_info[:3]}")


def test_paths_under_opt_ml_become_the_folder_that_stands_for_it(tmp_path: Path) -> None:
    launch = Launch((), {}, tmp_path, tmp_path, 1)
    texts = {
        "/opt/ml": f"{tmp_path}",
        "/opt/ml/model": f"{tmp_path}/model",
        "--out=/opt/ml/model": f"--out={tmp_path}/model",
        "cd /opt/ml && ls '/opt/ml/model'": f"cd {tmp_path} && ls '{tmp_path}/model'",
        "/opt/mlflow": "/opt/mlflow",
        "/srv/opt/ml": "/srv/opt/ml",
        "/opt/ml-old": "/opt/ml-old",
    }
    for text, expected in texts.items():
        assert ProcessRunner.rewrite(launch, text) == expected


def test_a_program_that_is_not_there_cannot_be_started(tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match="no-such-program: No such file"),
        started(ProcessRunner(), tmp_path, "no-such-program"),
    ):
        pass


def test_a_bwrap_that_cannot_work_is_a_start_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match="could not make its namespaces"),
        started(BubblewrapRunner("false"), tmp_path, "true"),
    ):
        pass


def test_a_program_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "ml").mkdir()
    parent = (
        "import os, sys, time; from pathlib import Path;"
        "from ift_sagemaker.local.running.runner import *;"
        "folder = Path(sys.argv[1]);"
        "launch = Launch(('sleep', '74'), default_environment(), folder / 'ml', folder, 1);"
        "ProcessRunner().start(launch); print('started', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    assert running(b"sleep\x0074")
    process.kill()
    process.wait(10)
    process.stdout.close()
    assert Settle(3).until(lambda: not running(b"sleep\x0074"))


def running(command: bytes) -> bool:
    for process in processes.everything():
        try:
            if command in Path(f"/proc/{process.pid}/cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize(
    ("runner", "required", "works_here", "expected"),
    [
        ("auto", "", True, "bwrap"),
        ("auto", "", False, "process"),
        ("auto", "bwrap", True, "bwrap"),
        ("auto", "bwrap", False, None),
        ("bwrap", "", True, "bwrap"),
        ("bwrap", "", False, None),
        ("process", "", True, "process"),
        ("process", "bwrap", True, None),
        ("process", "process", True, "process"),
        ("podman", "", False, "podman"),
        ("podman", "bwrap", False, "podman"),
        ("podman", "docker", False, "podman"),
        ("docker", "", True, None),
        ("auto", "podman", True, None),
        ("bwrap", "docker", True, None),
    ],
)
def test_isolation_is_chosen_as_asked_and_never_downgraded_silently(
    tmp_path: Path, runner: str, required: str, works_here: bool, expected: str | None
) -> None:
    settings = replace(LocalSettings(tmp_path), runner=runner, require_isolation=required)
    if expected is None:
        with pytest.raises(ServiceError, match="Isolation cannot be given"):
            choose(settings, lambda: works_here, engine_works)
    else:
        assert choose(settings, lambda: works_here, engine_works).name == expected
        assert named(expected).name == expected


def engine_works(name: str) -> bool:
    return name == "podman"


def test_a_machine_without_bwrap_is_told_from_one_with_it() -> None:
    assert works("no-such-bwrap") is False
    assert works("false") is False


def test_every_runner_says_what_it_keeps_and_what_it_does_not() -> None:
    for runner in (ProcessRunner(), BubblewrapRunner(), named("podman")):
        for network in (True, False):
            told = runner.isolation(network=network)
            assert told.enforced
            assert told.unenforced
            assert not set(told.enforced) & set(told.unenforced)
    assert "network isolation" in BubblewrapRunner().isolation(network=False).enforced
    assert "network isolation" in ProcessRunner().isolation(network=False).unenforced


def test_homes_and_sockets_are_covered_but_never_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/")
    assert "/" not in covered_folders([])
    monkeypatch.setenv("HOME", "/usr")
    assert "/usr" not in covered_folders([])
    assert os.path.realpath("/run") in covered_folders([])


def test_the_folders_of_python_are_told_once_each() -> None:
    outer = [str(path) for path in python_folders()]
    assert sys.prefix in outer
    assert not [path for path in outer for other in outer if path.startswith(f"{other}/")]


def test_endpoints_share_the_network_and_jobs_do_not(tmp_path: Path) -> None:
    launch = Launch(("true",), {}, tmp_path, tmp_path, 1, read_only=("input",))
    assert "--share-net" not in arguments(launch)
    assert "--share-net" in arguments(replace(launch, network=True))
    words = arguments(launch)
    start = words.index("/opt/ml/input")
    assert words[start - 2 : start + 1] == ["--ro-bind", str(tmp_path / "input"), "/opt/ml/input"]


def test_hidden_folders_under_opt_are_covered_after_opt_is_shown(tmp_path: Path) -> None:
    opt = tmp_path / "opt"
    for name in ("tools", "data/aws", "home", "ml"):
        (opt / name).mkdir(parents=True)
    (opt / "way").symlink_to(opt / "home")
    words = list(optional_software(opt, [opt / "data/aws", opt / "home", tmp_path / "elsewhere"]))
    assert words == [
        *("--tmpfs", str(opt)),
        *("--ro-bind-try", str(opt / "data"), str(opt / "data")),
        *("--ro-bind-try", str(opt / "tools"), str(opt / "tools")),
        *("--symlink", str(opt / "home"), str(opt / "way")),
        *("--tmpfs", str(opt / "data/aws"), "--tmpfs", str(opt / "home")),
    ]
    assert list(optional_software(opt, [opt])) == ["--tmpfs", str(opt)]


def test_a_variable_cannot_carry_arguments_into_bwrap() -> None:
    assert variables_as_arguments({"A": "b c"}) == b"--clearenv\0--setenv\0A\0b c\0"
    for name, value in (("A", "x\0--bind\0/\0/mnt"), ("A=B", "x"), ("", "x")):
        with pytest.raises(StartError, match="cannot be an environment variable"):
            variables_as_arguments({name: value})


@pytest.mark.bwrap
def test_variables_reach_the_program_and_not_the_bwrap_around_it(tmp_path: Path) -> None:
    (tmp_path / "ml").mkdir()
    readable, writable = os.pipe()
    code = "import os; print(os.environ['MINE'], flush=True)"
    environment = {**default_environment(), "MINE": "secret"}
    command = ("python3", "-c", f"{code}; {SAY_READY}")
    launch = Launch(command, environment, tmp_path / "ml", tmp_path / "tmp", writable)
    program = BubblewrapRunner().start(launch)
    os.close(writable)
    try:
        assert Started(program, readable).says("secret")
        around = Path(f"/proc/{program.record()['pid']}")
        assert b"secret" not in (around / "environ").read_bytes() + (around / "cmdline").read_bytes()
    finally:
        program.kill()
        assert program.wait(5) is not None
        os.close(readable)
