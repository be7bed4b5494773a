"""A server under many clients, right, wrong and leaving ones, that is told to stop in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.soaking import build, soak

SECONDS = 15
MOST_GROWTH_MIB = 64


@pytest.mark.timeout(180)
def test_every_accepted_request_ends_in_its_right_answer_or_a_typed_error(tmp_path: Path) -> None:
    build(tmp_path / "model")
    report = soak(tmp_path, SECONDS)
    assert report.wrong == []
    assert report.exit_code == 0
    assert report.growth_mib < MOST_GROWTH_MIB
    happened = report.counts
    assert all(happened[kind] > 20 for kind in ("answered", "streamed", "left")), happened
    assert happened["invalid_request_error (400)"] > 5, happened
