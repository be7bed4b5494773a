"""The estimate of a local run against the run, once this machine is calibrated by another one.

    IFT_TEST_DATA=FOLDER python tests/benchmarks/estimate.py [--json]

On one fresh local AWS: a job of one epoch calibrates, then each run is planned, made and held against its
plan: more epochs, other rows of another length. Time is TrainingTimeInSeconds of the job against
`here_seconds`, memory the largest resident set its program told of against `memory`. Prints predicted over
measured for each; nothing is asserted. The same machine must be as busy for all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ift_sagemaker as ift

MODEL = "smollm2-135m-instruct"
GIB = 2**30


def told(session: ift.Session, rows: ift.InstructionDataset, settings: Mapping[str, Any]) -> dict[str, float]:
    """Predicted and measured seconds and GiB of one run; starts and awaits it."""
    found = session.plan(MODEL, rows, hyperparameters=settings).estimate
    assert found is not None
    job = session.fine_tune(MODEL, rows, hyperparameters=settings)
    job.wait(on_progress=lambda _: None)
    measured = {
        "seconds": float(job.description["TrainingTimeInSeconds"]),
        "memory_gib": float(job.metrics()["peak_memory_gib"].max()),
        "predicted_memory_gib": found.memory.total.likely / GIB,
    }
    if found.here_seconds is not None:
        measured["predicted_seconds"] = found.here_seconds.likely
        measured["seconds_ratio"] = measured["predicted_seconds"] / measured["seconds"]
    measured["memory_ratio"] = measured["predicted_memory_gib"] / measured["memory_gib"]
    return {name: round(value, 2) for name, value in measured.items()}


def runs(data: Path) -> dict[str, tuple[ift.InstructionDataset, dict[str, Any]]]:
    reviews = ift.InstructionDataset.read(data / "reviews_train.jsonl")
    support = ift.InstructionDataset.read("examples/data/customer_support.jsonl")
    return {
        "calibration: reviews, 1 epoch": (reviews, {"epoch": 1}),
        "reviews, 2 epochs": (reviews, {"epoch": 2}),
        "customer support, 3 epochs": (support, {"epoch": 3}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ift-estimate-") as root:
        os.environ["IFT_LOCAL_ROOT"] = root
        session = ift.connect("local")
        found = {
            name: told(session, rows, settings)
            for name, (rows, settings) in runs(Path(os.environ["IFT_TEST_DATA"])).items()
        }
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        print(name, *(f"{key}={value}" for key, value in figures.items()), sep="  ")


if __name__ == "__main__":
    main()
