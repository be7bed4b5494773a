"""Waiting with a budget of its own, on an injected clock."""

from __future__ import annotations

import pytest

from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.errors import (
    AccessDeniedError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    ThrottledError,
)
from tests.unit.handles.fakes import Clock


def _failing(times: int, error: Exception) -> tuple[list[int], object]:
    calls: list[int] = []

    def ask() -> str:
        calls.append(len(calls))
        if len(calls) <= times:
            raise error
        return "answer"

    return calls, ask


def test_an_outage_shorter_than_the_budget_is_borne() -> None:
    clock = Clock()
    calls, ask = _failing(5, ServiceUnavailableError("down"))
    assert clock.patience(budget=300).call(ask) == "answer"  # type: ignore[arg-type]
    assert len(calls) == 6
    assert clock.now > 5


def test_an_outage_longer_than_the_budget_is_raised_within_it() -> None:
    clock = Clock()
    _, ask = _failing(10**6, ThrottledError("slow"))
    with pytest.raises(ThrottledError):
        clock.patience(budget=60).call(ask)  # type: ignore[arg-type]
    assert clock.now <= 60


def test_a_refusal_is_not_asked_again() -> None:
    calls, ask = _failing(1, AccessDeniedError("no"))
    with pytest.raises(AccessDeniedError):
        Clock().patience().call(ask)  # type: ignore[arg-type]
    assert len(calls) == 1


def test_the_pauses_grow_up_to_half_a_minute() -> None:
    clock = Clock()
    _, ask = _failing(12, ThrottledError("slow"))
    clock.patience(budget=10_000).call(ask)  # type: ignore[arg-type]
    assert clock.slept[:3] == [1, 2, 4]
    assert max(clock.slept) == 30


def test_the_default_patience_uses_the_real_clock() -> None:
    assert Patience().clock() > 0


def test_what_was_just_made_is_asked_for_until_it_is_seen() -> None:
    calls, ask = _failing(3, ResourceNotFoundError("stale"))
    assert Clock().patience().find(ask) == "answer"  # type: ignore[arg-type]
    assert len(calls) == 4


def test_what_is_not_seen_after_a_minute_is_not_there() -> None:
    clock = Clock()
    _, ask = _failing(10**6, ResourceNotFoundError("gone"))
    with pytest.raises(ResourceNotFoundError):
        clock.patience().find(ask)  # type: ignore[arg-type]
    assert clock.now == 60
