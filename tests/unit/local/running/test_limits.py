"""Limits of memory and processors for programs without a container around them."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest

from ift_sagemaker.local.running import processes
from ift_sagemaker.local.running.bubblewrap import BubblewrapRunner
from ift_sagemaker.local.running.limits import (
    ControlGroup,
    Limits,
    can_limit,
    group_name,
    group_of,
    make_group,
    open_files,
)
from ift_sagemaker.local.running.runner import Launch, ProcessRunner, Program, Runner, default_environment

ENOUGH = Limits(64 * 2**20, 1.0)


def old_form(root: Path) -> Path:
    """Folders as the older control groups show them."""
    for name in ("memory", "cpu"):
        (root / name).mkdir(parents=True)
        (root / name / "cgroup.procs").write_text("")
    return root


def new_form(root: Path, controllers: str = "cpu memory pids") -> Path:
    """A folder as the unified control groups show it, of which a new group has cgroup.events."""
    root.mkdir(exist_ok=True)
    (root / "cgroup.subtree_control").write_text(controllers)
    (root / "name").mkdir()
    for name in ("cgroup.events", "memory.swap.max"):
        (root / "name" / name).write_text("")
    return root


def test_older_control_groups_are_told_in_their_own_files(tmp_path: Path) -> None:
    group = make_group("name", ENOUGH, old_form(tmp_path))
    assert group is not None
    assert (tmp_path / "memory/name/memory.limit_in_bytes").read_text() == str(64 * 2**20)
    assert (tmp_path / "cpu/name/cpu.cfs_quota_us").read_text() == "100000"
    assert not (tmp_path / "memory/name/memory.max").exists()


def test_unified_control_groups_are_told_in_their_own_files(tmp_path: Path) -> None:
    group = make_group("name", Limits(2**30, 0.5), new_form(tmp_path))
    assert group == ControlGroup((tmp_path / "name",))
    assert (tmp_path / "name/memory.max").read_text() == str(2**30)
    assert (tmp_path / "name/memory.swap.max").read_text() == "0"
    assert (tmp_path / "name/cpu.max").read_text() == "50000 100000"


def test_a_machine_without_the_controllers_gives_no_group(tmp_path: Path) -> None:
    assert make_group("name", ENOUGH, tmp_path) is None
    assert make_group("name", ENOUGH, new_form(tmp_path, "pids")) is None
    assert make_group("name", Limits(), tmp_path) is None


def test_the_group_of_a_program_is_found_by_its_folder_alone(tmp_path: Path) -> None:
    place = old_form(tmp_path)
    assert group_of(Path("/a"), place) is None
    made = make_group(group_name(Path("/a")), ENOUGH, place)
    assert group_of(Path("/a"), place) == made
    assert group_of(Path("/b"), place) is None


def test_a_limit_that_cannot_be_kept_is_told_as_not_enforced() -> None:
    limits = Limits(2**62 - 1, None)
    for runner in (ProcessRunner(limits), BubblewrapRunner(limits=limits), ProcessRunner()):
        told = runner.isolation(network=False)
        held = [text for text in told.enforced if text.startswith("memory limit")]
        open_ = [text for text in told.unenforced if text.startswith("memory limit")]
        assert len(held) + len(open_) == 1
        assert not held or can_limit(limits)


@pytest.mark.parametrize(
    "make",
    [ProcessRunner, pytest.param(lambda limits: BubblewrapRunner(limits=limits), marks=pytest.mark.bwrap)],
)
def test_a_program_over_its_memory_limit_is_killed_and_its_group_goes(
    make: type[ProcessRunner], tmp_path: Path
) -> None:
    if not can_limit(ENOUGH):
        pytest.skip("this user can make no control group here")
    program = _start(make(ENOUGH), tmp_path, "x = bytearray(2**28); print('too much')")
    assert program.wait(20) == 137
    assert group_of(tmp_path / "ml") is None


@pytest.mark.parametrize(
    "runner", [ProcessRunner(), pytest.param(BubblewrapRunner(), marks=pytest.mark.bwrap)]
)
def test_no_program_leaves_core_files_or_opens_endless_files(runner: Runner, tmp_path: Path) -> None:
    code = (
        "import resource as r; raise SystemExit("
        "(r.getrlimit(r.RLIMIT_CORE), *r.getrlimit(r.RLIMIT_NOFILE)) !="
        f" ((0, 0), {open_files()}, {open_files()}))"
    )
    assert _start(runner, tmp_path, code).wait(20) == 0
    assert open_files() <= resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def test_what_is_left_in_a_group_is_killed_before_the_group_goes(tmp_path: Path) -> None:
    place = old_form(tmp_path)
    group = make_group("name", Limits(2**30), place)
    assert group is not None
    procs = place / "memory/name/cgroup.procs"
    procs.write_text("11\n12\n")
    killed = []

    def kill(pid: int) -> None:
        killed.append(pid)
        for file in procs.parent.iterdir():  # the kernel's files go with the last process
            file.unlink()

    group.remove(kill, sleep=lambda _: None)
    assert set(killed) == {11, 12}
    assert not procs.parent.exists()


def test_only_a_process_that_is_there_is_killed_by_its_number() -> None:
    assert processes.kill_number(2**22 - 1) is False


def _start(runner: Runner, folder: Path, code: str) -> Program:
    (folder / "ml").mkdir()
    with (folder / "log").open("wb") as log:
        command = (sys.executable, "-c", code)
        return runner.start(
            Launch(command, default_environment(), folder / "ml", folder / "tmp", os.dup(log.fileno()))
        )
