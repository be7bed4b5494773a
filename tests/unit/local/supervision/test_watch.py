"""Several programs watched as one."""

from __future__ import annotations

from ift_sagemaker.local.supervision.watch import (
    EXIT,
    INTERRUPTION,
    MAX_WAIT,
    STOP,
    Ended,
    Limits,
    Outputs,
    Programs,
    Watch,
)
from tests.unit.local.machine import FakeTime
from tests.unit.local.supervision.test_supervisor import FakeProgram, Silence


def watch(programs: Programs, clock: FakeTime, cause: str = "", limits: Limits | None = None) -> Ended:
    output = Outputs([Silence(clock), Silence(clock)])
    asked = limits or Limits(100.0, 10.0)
    return Watch(programs, output, asked, lambda: cause, lambda _: None, clock).run()


def test_all_have_ended_when_the_last_has() -> None:
    clock, slow = FakeTime(), FakeProgram(None)
    programs = Programs({"algo-1": FakeProgram(0), "algo-2": slow}, 10.0, clock)
    assert programs.poll() is None
    slow.code = 0
    assert watch(programs, clock) == Ended(0, EXIT)
    assert programs.failed == ""


def test_the_first_that_fails_ends_the_others_once_and_its_code_counts() -> None:
    clock, other = FakeTime(), FakeProgram(None, on_terminate=7)
    programs = Programs({"algo-1": other, "algo-2": FakeProgram(3)}, 10.0, clock)
    assert watch(programs, clock) == Ended(3, EXIT)
    assert programs.failed == "algo-2"
    assert other.signals == ["TERM"]


def test_who_ignores_the_end_of_another_is_killed_after_the_grace() -> None:
    clock, deaf = FakeTime(), FakeProgram(None, on_terminate=None)
    programs = Programs({"algo-1": deaf, "algo-2": FakeProgram(3)}, 10.0, clock)
    assert watch(programs, clock) == Ended(3, EXIT)
    assert deaf.signals == ["TERM", "KILL"]
    assert 10 <= clock.now - 1000 < 12


def test_a_stop_is_one_sigterm_for_each_whatever_their_codes_are() -> None:
    clock = FakeTime()
    first, second = FakeProgram(None, on_terminate=143), FakeProgram(None, on_terminate=None)
    ended = watch(Programs({"algo-1": first, "algo-2": second}, 10.0, clock), clock, cause=STOP)
    assert ended.cause == STOP
    assert (first.signals, second.signals) == (["TERM", "KILL"], ["TERM", "KILL"])


def test_what_a_watch_was_ended_for_is_told() -> None:
    for cause in (STOP, INTERRUPTION):
        clock = FakeTime()
        assert watch(Programs({"algo-1": FakeProgram(None)}, 1.0, clock), clock, cause) == Ended(0, cause)
    clock = FakeTime()
    limits = Limits(5.0, 1.0, MAX_WAIT)
    assert watch(Programs({"algo-1": FakeProgram(None)}, 1.0, clock), clock, "", limits).cause == MAX_WAIT
