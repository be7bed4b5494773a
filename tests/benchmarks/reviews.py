"""Sentiment of real product reviews through the command line: base against the mean of three seeds.

    IFT_TEST_DATA=FOLDER python tests/benchmarks/reviews.py [--seeds 0 1 2] [--json]

Each seed is `ift train` and `ift evaluate` in a process of its own, on one fresh local AWS. Prints exact
match, loss and seconds of every run; nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m-instruct"


def _ift(*words: str) -> str:
    command = [sys.executable, "-c", "from ift_sagemaker.cli import main; main()", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def run_seed(data: Path, seed: int) -> dict[str, Any]:
    """One seed: scores of base and tuned, and how long training and evaluation took in seconds."""
    started = time.perf_counter()
    job = _ift("train", MODEL, str(data / "reviews_train.jsonl"), "--set", f"seed={seed}", "--wait")
    trained = time.perf_counter()
    scores = json.loads(_ift("evaluate", job, str(data / "reviews_test.jsonl"), "--json"))
    ended = time.perf_counter()
    return {
        "seed": seed,
        "job": job,
        "base": scores["base"]["exact_match"],
        "tuned": scores["tuned"]["exact_match"],
        "base_loss": scores["base"]["loss"],
        "tuned_loss": scores["tuned"]["loss"],
        "train_seconds": round(trained - started, 1),
        "evaluate_seconds": round(ended - trained, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = Path(os.environ["IFT_TEST_DATA"])
    with tempfile.TemporaryDirectory(prefix="ift-reviews-") as root:
        os.environ.update(IFT_LOCAL_ROOT=root, IFT_TARGET="local")
        runs = [run_seed(data, seed) for seed in options.seeds]
    result = {
        "runs": runs,
        "base": runs[0]["base"],
        "tuned_mean": statistics.mean(run["tuned"] for run in runs),
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for run in runs:
        print(" ".join(f"{key}={value}" for key, value in run.items()))
    print(
        f"exact match: base {result['base']:.3f}, tuned mean of {len(runs)} seeds {result['tuned_mean']:.3f}"
    )


if __name__ == "__main__":
    main()
