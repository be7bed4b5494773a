"""What an engine is told, and what its answers mean; engines themselves run in tests/containers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from ift_sagemaker.local.running.containers import (
    ContainerProgram,
    ContainerRunner,
    arguments,
    container_environment,
    hand_over,
    variables_as_file,
)
from ift_sagemaker.local.running.engines import ENGINES, Engine, EngineError, EngineSilent, environment_of
from ift_sagemaker.local.running.limits import Limits
from ift_sagemaker.local.running.runner import Launch, StartError, default_environment
from tests.unit.local.machine import Settle

LAUNCH = Launch(
    command=("python3", "x.py"),
    environment={},
    ml_root=Path("/root/jobs/a/algo-1/opt/ml"),
    scratch=Path("/root/jobs/a/algo-1/tmp"),
    output=1,
    read_only=("input",),
    image="image",
)


def words(launch: Launch = LAUNCH, engine: str = "docker", limits: Limits | None = None) -> list[str]:
    return arguments(launch, engine, limits or Limits(), (1000, 1000))


def after(said: list[str], option: str) -> list[str]:
    """Every value given to an option."""
    return [value for name, value in pairwise(said) if name == option]


def fake(folder: Path, script: str, **changes: float) -> Engine:
    """An engine that is a shell script of the test's own."""
    program = folder / "engine"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Engine("docker", str(program), environment={"PATH": "/usr/bin:/bin"}, **changes)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_is_told_to_shut_a_program_in(engine: str) -> None:
    said = words(engine=engine)
    assert {"--detach", "--pull=never", "--read-only"} <= set(said)
    assert after(said, "--network") == ["none"]
    assert after(said, "--cap-drop") == ["ALL"]
    assert after(said, "--security-opt") == ["no-new-privileges"]
    assert after(said, "--user") == ["1000:1000"]
    assert after(said, "--label") == ["ift-sagemaker.ml-root=/root/jobs/a/algo-1/opt/ml"]
    assert after(said, "--mount") == [
        "type=bind,source=/root/jobs/a/algo-1/opt/ml,target=/opt/ml",
        "type=bind,source=/root/jobs/a/algo-1/opt/ml/input,target=/opt/ml/input,readonly",
        "type=bind,source=/root/jobs/a/algo-1/tmp,target=/tmp",
    ]
    assert said[-3:] == ["image", "python3", "x.py"]
    assert "--publish" not in said


def test_only_podman_is_told_resource_limits_that_a_plain_root_may_set() -> None:
    assert after(words(engine="docker"), "--ulimit") == ["core=0:0"]
    assert [limit.partition("=")[0] for limit in after(words(engine="podman"), "--ulimit")] == [
        "core",
        "nofile",
        "nproc",
    ]


def test_limits_are_told_where_they_are_set() -> None:
    said = words(limits=Limits(2**30, 1.5))
    assert (after(said, "--memory"), after(said, "--memory-swap")) == (["1073741824"], ["1073741824"])
    assert after(said, "--cpus") == ["1.5"]
    assert not {"--memory", "--cpus"} & set(words())


def test_a_server_is_shown_on_loopback_alone() -> None:
    said = words(replace(LAUNCH, network=True, port=4711))
    assert after(said, "--publish") == ["127.0.0.1:4711:8080"]
    assert "--network" not in said
    with pytest.raises(StartError, match="port"):
        words(replace(LAUNCH, network=True))


def test_a_command_replaces_the_images_entrypoint_only_where_it_is_to() -> None:
    said = words(replace(LAUNCH, replaces_entrypoint=True))
    assert after(said, "--entrypoint") == ["python3"]
    assert said[-2:] == ["image", "x.py"]
    assert "--entrypoint" not in words()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hosts": {"algo-1": "10.0.0.1", "algo-2": "10.0.0.2"}}, "several hosts"),
        ({"image": ""}, "no image"),
        ({"ml_root": Path("/a,b")}, "cannot mount"),
        ({"ml_root": Path('/a"b')}, "cannot mount"),
    ],
)
def test_what_cannot_be_said_to_an_engine_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(StartError, match=reason):
        words(replace(LAUNCH, **changes))  # type: ignore[arg-type]


def test_variables_of_this_machine_stay_here_and_the_requests_own_go_in() -> None:
    launch = replace(LAUNCH, environment={**default_environment(), "MINE": "1"})
    inside = container_environment(launch)
    assert "PATH" not in inside
    assert (inside["MINE"], inside["HOME"], inside["HF_HUB_OFFLINE"]) == ("1", "/tmp/home", "1")  # noqa: S108
    asked = container_environment(replace(LAUNCH, environment={"PATH": "/mine", "PYTHONPATH": "/code"}))
    assert (asked["PATH"], asked["PYTHONPATH"]) == ("/mine", "/code")
    serving = container_environment(replace(launch, port=4711))
    assert (serving["SAGEMAKER_BIND_TO_PORT"], serving["IFT_BIND_HOST"]) == ("8080", "0.0.0.0")  # noqa: S104


def test_variables_that_an_env_file_cannot_carry_are_refused() -> None:
    assert variables_as_file({"A": " b=c#d "}) == b"A= b=c#d \n"
    for name, value in (("A\nB", "x"), ("A-B", "x"), ("", "x"), ("A", "x\nLD_PRELOAD=y"), ("A", "\0")):
        with pytest.raises(StartError, match=r"environment variable|line end"):
            variables_as_file({name: value})


def test_an_engines_refusal_is_told_in_its_own_last_words(tmp_path: Path) -> None:
    engine = fake(tmp_path, "echo first >&2; echo 'the disk is full' >&2; exit 125")
    with pytest.raises(EngineError, match="docker run: the disk is full"):
        engine.call("run")
    (tmp_path / "ml").mkdir()
    with pytest.raises(StartError, match="the disk is full"):
        ContainerRunner(engine).start(replace(LAUNCH, ml_root=tmp_path / "ml", scratch=tmp_path / "tmp"))


def test_an_engine_that_hangs_is_given_up_with_what_to_do(tmp_path: Path) -> None:
    engine = fake(tmp_path, "exec sleep 60", seconds=0.2)
    with pytest.raises(
        EngineSilent, match=r"did not answer `run` within 0\.2 seconds; see whether `docker ps`"
    ):
        engine.call("run")
    with pytest.raises(EngineSilent):
        engine.image_id("x")


def test_what_an_engine_that_answers_does_not_know_is_gone(tmp_path: Path) -> None:
    engine = fake(tmp_path, '[ "$1" = ps ] || { echo "no such object: x" >&2; exit 1; }')
    assert engine.image_id("x") is None
    assert engine.running_or_code("x") is None
    engine.remove("x")


@pytest.mark.parametrize("ask", [Engine.image_id, Engine.running_or_code, Engine.remove])
def test_nothing_is_taken_for_gone_while_the_daemon_is_down(
    tmp_path: Path, ask: Callable[[Engine, str], object]
) -> None:
    engine = fake(tmp_path, "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    assert engine.works() is False
    with pytest.raises(EngineSilent, match=r"does not answer: .*Cannot connect"):
        ask(engine, "x")


def test_an_engine_that_is_not_there_says_what_to_do() -> None:
    engine = Engine("docker", "/no/such/engine")
    assert engine.works() is False
    with pytest.raises(EngineSilent, match="install it, or set IFT_LOCAL_RUNNER"):
        engine.call("ps")


def test_identifiers_are_64_digits_whatever_the_engine_puts_before_them(tmp_path: Path) -> None:
    assert fake(tmp_path, f"echo sha256:{'a' * 64}").image_id("x") == "a" * 64
    assert fake(tmp_path, f"echo {'b' * 64}").image_id("x") == "b" * 64


def test_an_engine_gets_its_own_variables_and_no_others() -> None:
    caller = {"PATH": "/bin", "DOCKER_HOST": "unix:///x", "AWS_SECRET_ACCESS_KEY": "s", "LD_PRELOAD": "y"}
    assert environment_of(caller) == {"PATH": "/bin", "DOCKER_HOST": "unix:///x"}


RESTARTED = """
case "$1" in
  logs) echo said ;;
  wait) if [ -e {folder}/again ]; then echo 6; else touch {folder}/again; exit 1; fi ;;
  inspect) echo true 0 ;;
esac
"""
GONE = 'case "$1" in wait|inspect) exit 1 ;; esac'


@pytest.mark.parametrize(("script", "code"), [(RESTARTED, 6), (GONE, 137)])
def test_an_engine_that_loses_a_program_is_asked_again_what_became_of_it(
    tmp_path: Path, script: str, code: int
) -> None:
    with (tmp_path / "log").open("wb") as log:
        program = ContainerProgram(
            fake(tmp_path, script.replace("{folder}", str(tmp_path))), "a", log.fileno()
        )
        assert Settle(5).until(lambda: program.poll() is not None)
    assert program.poll() == code


AWAY = """
case "$1" in
  wait) exit 1 ;;
  inspect) [ -e {folder}/back ] || exit 1; echo false 3 ;;
  ps) [ -e {folder}/back ] || exit 1 ;;
esac
"""


def test_a_program_is_not_given_up_while_its_engine_is_away(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        program = ContainerProgram(fake(tmp_path, AWAY.replace("{folder}", str(tmp_path))), "a", log.fileno())
        assert program.wait(0.3) is None
        (tmp_path / "back").touch()
        assert program.wait(5) == 3


def test_an_engine_that_stays_away_is_an_error(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        program = ContainerProgram(fake(tmp_path, "exit 1"), "a", log.fileno(), silence=0.1)
        with pytest.raises(EngineSilent):
            program.wait(5)


def test_what_is_handed_over_is_never_behind_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(outside)
    hand_over(tmp_path / "in", os.geteuid(), os.getegid())
    if os.geteuid() == 0:
        hand_over(tmp_path / "in", 1000, 1000)
        assert outside.stat().st_uid == 0
        assert (tmp_path / "in/link").lstat().st_uid == 1000
