"""What the live test tells on AWS is told here first."""

from __future__ import annotations

import pytest

from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.session import Session
from tests.e2e.conftest import ONLY_CALM, soon
from tests.live import story


@ONLY_CALM  # the whole path under AWS's weather is a story of its own
def test_the_live_story_stays_within_its_limit_and_leaves_nothing(
    session: Session, rows: InstructionDataset
) -> None:
    assert 0 <= story.tell(session, rows, most_usd=4.0) <= 2.0
    soon(lambda: not list(session.endpoints()))


@ONLY_CALM  # nothing is started
def test_a_limit_that_an_hour_of_the_endpoint_exceeds_starts_nothing(
    session: Session, rows: InstructionDataset
) -> None:
    with pytest.raises(AssertionError, match="an hour of the endpoint is"):
        story.tell(session, rows, most_usd=2.0)
    assert not list(session.training_jobs())
