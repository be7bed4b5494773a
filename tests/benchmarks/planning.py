"""Seconds that a plan and the lists of the catalogue take, beside a bare interpreter in the same run.

    python tests/benchmarks/planning.py [--rows 10000] [--repeats 5] [--json]

Every contestant is a process of its own, started as a user starts it, and they take turns. The plan counts a
sample of generated rows by the model's own tokenizer, so the weights are fetched before the first turn. The
account is a fresh local AWS. Prints medians of wall and CPU seconds; nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import string
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

IFT = (sys.executable, "-c", "from ift_sagemaker.cli import main; main()")


@dataclass(frozen=True)
class Turn:
    """One process: seconds from start to end, and of the processor."""

    wall: float
    cpu: float


def write_rows(path: Path, rows: int) -> None:
    """Alpaca rows of about 600 bytes as JSON lines, with a seed."""
    chance = random.Random(0)
    words = ["".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9))) for _ in range(3000)]
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            row = {
                name: " ".join(chance.choices(words, k=chance.randint(most // 2, most)))
                for name, most in (("instruction", 15), ("input", 40), ("output", 60))
            }
            file.write(json.dumps(row) + "\n")


def contestants(rows: Path) -> dict[str, tuple[str, ...]]:
    return {
        "python -c pass": (sys.executable, "-c", "pass"),
        "ift --version": (*IFT, "--version"),
        "ift models list": (*IFT, "models", "list"),
        "ift models compare": (*IFT, "models", "compare"),
        "ift plan, container": (*IFT, "plan", "smollm2-135m-instruct", str(rows)),
        "ift plan, jumpstart": (*IFT, "plan", "meta-textgeneration-llama-2-7b", str(rows), "--accept-eula"),
    }


def turn(command: tuple[str, ...], environment: dict[str, str]) -> Turn:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Turn(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measured(rows: int, repeats: int) -> dict[str, list[Turn]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, rows)
        environment = {**os.environ, "IFT_TARGET": "local", "IFT_LOCAL_ROOT": f"{folder}/aws"}
        runs = contestants(path)
        for command in runs.values():
            turn(command, environment)
        turns: dict[str, list[Turn]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, command in runs.items():
                turns[name].append(turn(command, environment))
    return turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    turns = measured(asked.rows, asked.repeats)
    if asked.json:
        print(json.dumps({name: [asdict(one) for one in found] for name, found in turns.items()}, indent=2))
        return
    print(f"{asked.rows:,} rows, {asked.repeats} repeats, medians")
    print(f"{'':24}{'wall s':>8}{'CPU s':>8}")
    for name, found in turns.items():
        wall, cpu = (statistics.median(getattr(one, what) for one in found) for what in ("wall", "cpu"))
        print(f"{name:24}{wall:8.2f}{cpu:8.2f}")


if __name__ == "__main__":
    main()
