"""Real reviews through the command line: tuning changes what the model answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import ONLY_CALM
from tests.e2e.test_command_line import _ift

# about what is learnt, which no weather changes
pytestmark = [pytest.mark.slow, pytest.mark.data, ONLY_CALM]


def test_sentiment_of_real_reviews_rises_from_the_base_to_three_quarters(
    root: Path, data_folder: Path
) -> None:
    """One seed of three; `tests/benchmarks/reviews.py` prints them all."""
    trained = _ift("train", "smollm2-135m-instruct", str(data_folder / "reviews_train.jsonl"), "--wait")
    assert trained.returncode == 0, trained.stderr
    job = trained.stdout.strip()
    evaluated = _ift("evaluate", job, str(data_folder / "reviews_test.jsonl"), "--json")
    scores = json.loads(evaluated.stdout)
    assert scores["tuned"]["exact_match"] >= 0.75 > scores["base"]["exact_match"]
    assert scores["tuned"]["loss"] < scores["base"]["loss"]
