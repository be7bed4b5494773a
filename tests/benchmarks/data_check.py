"""Rows per CPU second of `check`, whole and rule by rule, over 100,000 generated rows of about 580 bytes.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.data_check [--rows 100000]

Of each rule: the rows per second with it alone, and how many µs a row that adds to the rows alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from ift_sagemaker.data.checking.check import Check
from ift_sagemaker.data.checking.depth import EVERYTHING, ROWS_ALONE, RULES, Depth
from ift_sagemaker.data.reading.containers import read_files
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.rules import plainly_good, rules_of
from tests.benchmarks.data import write_rows


def _row_rules(path: Path) -> float:
    """CPU seconds of reading and of the rules that every row must meet, without anything about texts."""
    findings = Findings(str(path))
    started = time.process_time()
    rules = rules_of("alpaca")
    is_plainly_good = plainly_good(rules)
    for line, row in read_files(path, findings):
        _ = row if is_plainly_good(row) else rules.normalise(row, line, findings)
    return time.process_time() - started


def _checked(path: Path, depth: Depth, against: Path | None = None) -> float:
    started = time.process_time()
    Check(depth=depth).report(path, against)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        path, held_out = Path(folder) / "rows.jsonl", Path(folder) / "held.jsonl"
        write_rows(path, rows, 1)
        write_rows(held_out, rows // 10, 2)
        _checked(held_out, EVERYTHING, held_out)  # tables that are made once
        print(f"{rows} rows, {path.stat().st_size / rows:.0f} bytes each")
        print(f"{'row rules':<30}{rows / _row_rules(path):>10,.0f} rows/CPU s")
        alone = _checked(path, ROWS_ALONE)
        print(f"{'rows and lengths':<30}{rows / alone:>10,.0f} rows/CPU s")
        for rule in RULES:
            against = held_out if "leakage" in rule else None
            taken = _checked(path, Depth(frozenset(RULES) - {rule}), against)
            added = (taken - alone) / rows * 1e6
            print(f"{rule:<30}{rows / taken:>10,.0f} rows/CPU s {added:>8.1f} µs a row")
        print(f"{'everything':<30}{rows / _checked(path, EVERYTHING):>10,.0f} rows/CPU s")
        with_held_out = _checked(path, EVERYTHING, held_out)
        print(f"{'everything, against 10 %':<30}{rows / with_held_out:>10,.0f} rows/CPU s")


if __name__ == "__main__":
    main()
