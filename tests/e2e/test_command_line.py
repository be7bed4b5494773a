"""The path on the command line, each command in a process of its own, with the real SmolLM2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ift_sagemaker.catalog.weights import WeightsCache
from tests.e2e.conftest import MODEL, ONLY_CALM

# a real model trains too long for two weathers: test_weather.py has the commands under AWS's
pytestmark = [pytest.mark.slow, ONLY_CALM]
EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
ROWS = EXAMPLES / "customer_support.jsonl"
HELD_OUT = EXAMPLES / "customer_support_test.jsonl"


def _ift(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from ift_sagemaker.cli import main; main()", *words]
    environment = {**os.environ, "IFT_TARGET": "local"}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


@pytest.fixture
def few(tmp_path: Path) -> tuple[Path, Path]:
    """Few rows, so that the story is short: it is about the way, not about what is learnt."""
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    train.write_text("".join(ROWS.read_text("utf-8").splitlines(keepends=True)[:16]), "utf-8")
    test.write_text("".join(HELD_OUT.read_text("utf-8").splitlines(keepends=True)[:6]), "utf-8")
    return train, test


def test_a_job_survives_its_shell_and_is_evaluated_deployed_and_asked_from_others(
    root: Path, few: tuple[Path, Path]
) -> None:
    WeightsCache().find(MODEL) or WeightsCache().pull(MODEL)
    train, test = few
    command = ("train", MODEL, str(train), "--set", "epoch=1")

    started = _ift(*command)
    assert started.returncode == 0, started.stderr
    job = started.stdout.strip()
    assert started.stdout == f"{job}\n", "stdout is the job's name alone"
    assert f"started {job}" in started.stderr

    again = _ift(*command)
    assert again.stdout == started.stdout
    assert f"attached to {job}" in again.stderr

    waited = _ift("jobs", "wait", job)
    assert (waited.returncode, waited.stdout) == (0, "Completed\n"), waited.stderr
    assert "Training" in waited.stderr

    listed = json.loads(_ift("jobs", "list", "--json").stdout)
    assert [found["TrainingJobName"] for found in listed] == [job]

    evaluated = _ift("evaluate", job, str(test), "--json", "--max-new-tokens", "16")
    assert evaluated.returncode == 0, evaluated.stderr
    scores = json.loads(evaluated.stdout)
    for side in ("base", "tuned"):
        assert {"exact_match", "rouge_l", "loss", "by_instruction"} <= set(scores[side])
    assert scores["tuned"]["loss"] < scores["base"]["loss"]
    gated = _ift("evaluate", job, str(test), "--max-new-tokens", "16", "--require", "exact_match>1")
    assert gated.returncode == 6
    assert "exact_match" in gated.stderr

    deployed = _ift("deploy", job, "--wait")
    assert (deployed.returncode, deployed.stdout) == (0, f"{job}\n"), deployed.stderr
    answer = _ift("invoke", job, "What is the capital of France?", "--max-tokens", "24", "--json")
    assert "Paris" in json.loads(answer.stdout)["text"], answer
    streamed = _ift("invoke", job, "What is the capital of France?", "--max-tokens", "24", "--stream")
    assert streamed.stdout == json.loads(answer.stdout)["text"] + "\n", streamed
    deleted = _ift("endpoints", "delete", job)
    assert deleted.returncode == 0
    assert deleted.stdout.splitlines() == [
        f"deleted endpoint {job}",
        f"deleted endpoint-config {job}-config",
        f"deleted model {job}",
    ]
    assert _ift("endpoints", "delete", job).returncode == 0, "gone already is success"


def test_a_stopped_job_exits_1(root: Path) -> None:
    job = _ift("train", MODEL, str(ROWS)).stdout.strip()
    deadline = time.monotonic() + 120
    while "ift_metrics" not in _ift("jobs", "logs", job).stdout:
        assert time.monotonic() < deadline, _ift("jobs", "show", job).stdout
    assert _ift("jobs", "stop", job).returncode == 0
    waited = _ift("jobs", "wait", job)
    assert waited.returncode == 1
    assert "stopped" in waited.stderr
    assert _ift("train", MODEL, str(ROWS)).returncode == 1, "a stopped run starts again only with --retry"
