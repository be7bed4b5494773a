"""Who is alive and whose turn it is: leases, slots, and processes as /proc tells them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ift_sagemaker.local.running import processes
from ift_sagemaker.local.state.resources import TRAINING_JOB
from ift_sagemaker.local.supervision.leases import abandoned, acquire, is_held, lease_path
from ift_sagemaker.local.supervision.slots import Slots
from ift_sagemaker.local.training import document as job_document
from tests.unit.local.machine import FakeTime, Settle


def test_a_lease_is_held_once_and_seen_by_who_only_looks(tmp_path: Path) -> None:
    path = lease_path(tmp_path, TRAINING_JOB, "job")
    assert not is_held(path)
    lease = acquire(path)
    assert lease is not None
    assert is_held(path)
    assert acquire(path) is None
    lease.release()
    assert not is_held(path)
    assert list(abandoned(tmp_path)) == [(TRAINING_JOB, "job")]
    again = acquire(path)
    assert again is not None
    again.retire()
    assert not path.exists()
    assert list(abandoned(tmp_path)) == []


def test_a_lease_goes_on_in_the_process_that_inherited_it_and_ends_with_its_death(tmp_path: Path) -> None:
    path = lease_path(tmp_path, TRAINING_JOB, "job")
    lease = acquire(path)
    assert lease is not None
    child = subprocess.Popen(["sleep", "60"], pass_fds=(lease.descriptor,))
    lease.release()
    assert is_held(path)
    child.kill()
    child.wait(5)
    assert not is_held(path)


def test_a_lease_that_was_retired_meanwhile_is_taken_on_the_new_file(tmp_path: Path) -> None:
    path = lease_path(tmp_path, TRAINING_JOB, "job")
    first = acquire(path)
    assert first is not None
    path.unlink()
    second = acquire(path)
    assert second is not None
    assert is_held(path)
    first.release()
    assert is_held(path)
    second.release()


def test_patience_waits_for_somebody_who_only_looks(tmp_path: Path) -> None:
    path = lease_path(tmp_path, TRAINING_JOB, "job")
    looker = acquire(path)
    assert looker is not None
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        looker.release()

    assert acquire(path, 1.0, sleep) is not None
    assert len(slept) == 1


def test_slots_go_to_the_earliest_ticket_and_pass_over_the_dead(tmp_path: Path) -> None:
    slots = Slots(tmp_path, TRAINING_JOB, 1)
    leases = {name: acquire(lease_path(tmp_path, TRAINING_JOB, name)) for name in ("early", "late")}
    slots.enqueue("late", 20.0)
    slots.enqueue("dead", 5.0)
    slots.enqueue("early", 10.0)
    assert slots.take("late") is None
    slot = slots.take("early")
    assert slot is not None
    assert slots.take("late") is None
    slot.release()
    found = slots.take("late")
    assert found is not None
    assert list((tmp_path / "queue" / TRAINING_JOB).iterdir()) == []
    for lease in (*leases.values(), found):
        assert lease is not None
        lease.release()


def test_waiting_for_a_slot_sleeps_and_ends_when_the_check_says_so(tmp_path: Path) -> None:
    slots, clock = Slots(tmp_path, TRAINING_JOB, 1), FakeTime()
    taken = acquire(tmp_path / "slots" / f"{TRAINING_JOB}-0.lock")
    assert taken is not None

    def check() -> None:
        if len(clock.slept) == 3:
            raise job_document.StopAsked

    with pytest.raises(job_document.StopAsked):
        slots.wait("job", check, clock.sleep)
    assert clock.slept == [0.2, 0.2, 0.2]
    taken.release()
    assert slots.wait("job", lambda: None, clock.sleep).descriptor >= 0


def test_two_slots_let_two_in(tmp_path: Path) -> None:
    slots = Slots(tmp_path, TRAINING_JOB, 2)
    found = [slots.take(name) for name in ("a", "b", "c")]
    assert [slot is not None for slot in found] == [True, True, False]


def test_only_the_recorded_session_is_killed_and_never_one_with_a_number_used_again() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 75 & sleep 76"], start_new_session=True)
    recorded = Settle(2).until(lambda: processes.identify(child.pid))
    Settle(2).until(lambda: len(processes.remains(recorded.record())) == 3)
    for other in ({"started": recorded.started - 1}, {"boot": "another boot"}, {"started": 2**62}):
        assert processes.remains({**recorded.record(), **other}) == []
    assert processes.remains(None) == []
    assert processes.end(lambda: processes.remains(recorded.record())) == 3
    assert child.wait(5) == -9
    assert processes.remains(recorded.record()) == []


def test_the_rest_of_a_session_is_found_after_its_leader_is_gone() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 77 & read line"], start_new_session=True, stdin=-1)
    recorded = processes.identify(child.pid)
    assert recorded is not None
    Settle(2).until(lambda: len(processes.remains(recorded.record())) == 2)
    child.communicate(b"go\n", 5)
    assert len(processes.remains(recorded.record())) == 1
    assert processes.end(lambda: processes.remains(recorded.record())) == 1


def test_a_process_is_marked_by_the_variable_or_by_bwraps_bind_and_by_nothing_else(tmp_path: Path) -> None:
    home, ml = tmp_path / "job", tmp_path / "job" / "algo-1" / "opt" / "ml"
    bind = ["--bind", str(ml), "/opt/ml"]
    ours = [waiting([], {"IFT_ML_ROOT": str(ml)}), waiting(bind, {}, "/somewhere/bwrap")]
    others = [
        waiting([str(ml)], {}, "vim"),
        waiting(bind, {}, "tail"),
        waiting(["--bind", str(ml), "/mnt"], {}, "bwrap"),
        waiting([], {"OTHER": str(ml), "IFT_ML_ROOT": f"{home}-other/ml"}),
    ]
    assert Settle(3).until(lambda: len(processes.marked(home)) == 2)
    assert processes.end(lambda: processes.marked(home)) == 2
    assert [process.wait(5) for process in ours] == [-9, -9]
    assert [process.poll() for process in others] == [None] * 4
    for process in (*ours, *others):
        process.communicate(b"go\n", 5)


def waiting(words: list[str], environment: dict[str, str], name: str = "sh") -> subprocess.Popen[bytes]:
    """A process of that argv[0], with arguments, that waits for a line."""
    command = [name, "-c", "read line", *words]
    return subprocess.Popen(command, executable="/bin/sh", env=environment, stdin=subprocess.PIPE)


def test_a_child_that_the_kernel_does_not_give_back_is_not_waited_for() -> None:
    flags: list[int] = []

    def stuck(pid: int, flag: int) -> tuple[int, int]:
        flags.append(flag)
        return (pid, 9) if pid == 1 else (0, 0)

    clock = FakeTime()
    assert processes.reap([1, 2], stuck, clock.sleep) == {2}
    assert set(flags) == {os.WNOHANG}
    assert sum(clock.slept) < 1


def test_who_waits_for_capacity_is_passed_over_until_it_is_there(tmp_path: Path) -> None:
    clock = FakeTime()
    slots = Slots(tmp_path, TRAINING_JOB, 1, clock)
    held = [acquire(lease_path(tmp_path, TRAINING_JOB, name)) for name in ("first", "second")]
    slots.enqueue("first", clock.now, delay=30)
    slots.enqueue("second", clock.now + 1)
    assert slots.take("first") is None
    taken = slots.take("second")
    assert taken is not None
    taken.release()
    clock.now += 30
    assert slots.take("first") is not None
    assert all(held)
