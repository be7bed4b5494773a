"""Rows per CPU second and peak memory of reading, checking, templating and writing rows, beside others.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.data [--rows 500000] [--repeats 3] [--large] [--json]

Alpaca rows are made with a seed, about 580 bytes each, every other line escaped to ASCII, the rest raw UTF-8.
Every contestant is a process of its own and they take turns. CPU seconds are those of the work, by getrusage;
what its imports take is left out. Peak memory is the process's own VmHWM, imports included.

`ours` is `convert` from Alpaca to JumpStart's instruction folder, which renders nothing; `ours, rendered` to
prompt and completion, which is what the others write. They do as much as they can in their own words:
`jsonlines` the same checks in Python; `datasets` (load, filter, map, to_json) and `polars` (scan_ndjson,
filter, sink_ndjson) drop bad rows without a word; `pandas` (read_json, lines=True) does nothing but read. So
polars is the bound without row-numbered errors. Nothing else here needs polars or datasets:

    python -m venv DIR && DIR/bin/pip install polars datasets, with this project installed there as well

Then `check` of the same rows: the rules that every row must meet with lengths, and all rules (rule by rule:
`tests.benchmarks.data_check`). With --large also ours on the rows ten times over. Prints medians, and the CPU
seconds of each over those of ours, plain and rendered; nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
LARGE = 10
OURS = ("ours", "ours, rendered")
CHECKS = ("check, rows alone", "check, all rules")
SMALL = "the of and to is in that it for was on are with as you this be have from at".split()  # noqa: SIM905
FOREIGN = ("für", "naïve", "façade", "größer", "español", "日本語", "данные", "ελληνικά", "é", "🙂")
FIELDS = ("instruction", "input", "output")


def write_rows(path: Path, rows: int, seed: int) -> None:
    """Alpaca rows as JSON lines; the same bytes for the same seed."""
    chance = random.Random(seed)
    letters = string.ascii_lowercase
    words = ["".join(chance.choices(letters, k=chance.randint(2, 10))) for _ in range(20_000)]
    words += SMALL * 300 + list(FOREIGN) * 60
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            given = chance.randint(20, 60) if number % 3 else 0
            texts = (" ".join(chance.choices(words, k=count)) for count in (8, given, chance.randint(28, 68)))
            row = dict(zip(FIELDS, texts, strict=True))
            row["output"] += f"\n{chance.randint(1, 99_999)}."
            file.write(json.dumps(row, ensure_ascii=number % 2 == 0) + "\n")


Work = Callable[[Path, Path], int | Path]
"""Does it all with the rows of a file, into an empty folder; gives how many, or the file whose lines tell."""


def _ours(target: str) -> Callable[[], Work]:
    def prepared() -> Work:
        from ift_sagemaker.data import convert

        return lambda source, folder: convert(source, folder / "out", to=target).rows

    return prepared


def _checked(*, all_rules: bool) -> Callable[[], Work]:
    def prepared() -> Work:
        from ift_sagemaker.data.checking.check import check
        from ift_sagemaker.data.checking.depth import EVERYTHING, ROWS_ALONE

        depth = EVERYTHING if all_rules else ROWS_ALONE
        return lambda source, _: check(source, depth=depth).rows

    return prepared


def _pandas() -> Work:
    import pandas as pd

    return lambda source, _: len(pd.read_json(source, lines=True))


def _polars() -> Work:
    import polars as pl  # type: ignore[import-not-found, unused-ignore]

    def work(source: Path, folder: Path) -> Path:
        strings = pl.Schema(dict.fromkeys(FIELDS, pl.String()))
        good = [
            (pl.col(name).str.strip_chars().str.len_bytes() > 0)
            & ~pl.col(name).str.contains("\0", literal=True)
            for name in ("instruction", "output")
        ]
        prompt = pl.col("instruction") + "\n\n" + pl.col("input").fill_null("")
        frame = pl.scan_ndjson(source, schema=strings).filter(*good)
        written = frame.select(
            prompt.str.strip_chars("\n").alias("prompt"), pl.col("output").alias("completion")
        )
        written.sink_ndjson(folder / "out.jsonl")
        return folder / "out.jsonl"

    return work


def _datasets() -> Work:
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
    from datasets import load_dataset  # type: ignore[import-not-found, unused-ignore]

    def work(source: Path, folder: Path) -> int:
        rows = load_dataset("json", data_files=str(source), split="train", cache_dir=str(folder / "cache"))
        good = rows.filter(_is_good)
        done = good.map(_rendered, remove_columns=list(FIELDS))
        done.to_json(folder / "out.jsonl", force_ascii=False)
        return len(done)

    return work


def _jsonlines() -> Work:
    import jsonlines

    def work(source: Path, folder: Path) -> int:
        count = 0
        with jsonlines.open(source) as reader, jsonlines.open(folder / "out.jsonl", "w") as writer:
            for row in reader.iter(type=dict):
                if not _is_good(row):
                    raise ValueError(row)
                writer.write(_rendered(row))
                count += 1
        return count

    return work


def _is_good(row: dict[str, Any]) -> bool:
    texts = [row.get(name) for name in FIELDS]
    return all(isinstance(text, str) and "\0" not in text for text in texts) and all(
        row[name].strip() for name in ("instruction", "output")
    )


def _rendered(row: dict[str, Any]) -> dict[str, str]:
    prompt = f"{row['instruction']}\n\n{row['input']}".strip("\n")
    return {"prompt": prompt, "completion": row["output"]}


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(part.count(b"\n") for part in iter(lambda: file.read(MIB), b""))


CONTESTANTS: dict[str, Callable[[], Work]] = {
    "ours": _ours("jumpstart-instruction"),
    "ours, rendered": _ours("prompt-completion"),
    "polars": _polars,
    "jsonlines": _jsonlines,
    "datasets": _datasets,
    "pandas": _pandas,
    "check, rows alone": _checked(all_rules=False),
    "check, all rules": _checked(all_rules=True),
}


@dataclass(frozen=True)
class Run:
    """One process: seconds of the work, and the most memory in MiB the process has had resident."""

    rows: int
    cpu: float
    wall: float
    peak: float


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak() -> float:
    """VmHWM: of this program alone, where ru_maxrss begins with what the parent had."""
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def _contest(name: str, source: Path, folder: Path) -> Run:
    """The work of a contestant, in this process."""
    work = CONTESTANTS[name]()
    wall, cpu = time.perf_counter(), _cpu()
    done = work(source, folder)
    cpu, wall, peak = _cpu() - cpu, time.perf_counter() - wall, _peak()
    return Run(_lines(done) if isinstance(done, Path) else done, cpu, wall, peak)


def _in_its_own_process(name: str, source: Path) -> Run:
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        command = [sys.executable, "-m", "tests.benchmarks.data", "--contest", name, str(source), folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _median(runs: Sequence[Run]) -> Run:
    return Run(
        runs[0].rows,
        *(statistics.median(getattr(run, figure) for run in runs) for figure in ("cpu", "wall", "peak")),
    )


def _measure(names: Sequence[str], source: Path, repeats: int, expected: int) -> dict[str, list[Run]]:
    """Runs of every contestant, in turn."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for repeat in range(repeats):
        for name in names:
            run = _in_its_own_process(name, source)
            if run.rows != expected:
                raise RuntimeError(f"{name} gave {run.rows} of {expected} rows")
            runs[name].append(run)
            print(f"{repeat + 1}/{repeats} {name}: {run.cpu:.2f} CPU s, {run.peak:.0f} MiB", file=sys.stderr)
    return runs


def _report(runs: dict[str, list[Run]], missing: Sequence[str]) -> Iterator[str]:
    head = f"{'rows/CPU s':>11} {'least to most':>19} {'CPU s':>7} {'wall s':>7} {'peak MiB':>9}"
    yield f"{'':<20}{head}  {'over ours':>9} {'rendered':>9}"
    ours = [_median(runs[name]) for name in OURS]
    for name, found in runs.items():
        run = _median(found)
        speeds = sorted(one.rows / one.cpu for one in found)
        spread = f"{speeds[0]:,.0f} to {speeds[-1]:,.0f}"
        ratios = " ".join(f"{run.cpu / own.cpu:>9.2f}" for own in ours)
        figures = (
            f"{run.rows / run.cpu:>11,.0f} {spread:>19} {run.cpu:>7.2f} {run.wall:>7.2f} {run.peak:>9.1f}"
        )
        yield f"{name:<20}{figures}  {ratios if name not in (*OURS, *CHECKS) else ''}".rstrip()
    for name in missing:
        yield f"{name:<20}not installed"


def _large(source: Path, rows: int, small: dict[str, list[Run]]) -> dict[str, Any]:
    """Ours on the rows many times over, and how the peak compares."""
    path = source.with_name("large.jsonl")
    with path.open("wb") as file:
        for _ in range(LARGE):
            with source.open("rb") as again:
                shutil.copyfileobj(again, file, MIB)
    found = {name: _in_its_own_process(name, path) for name in OURS}
    if any(run.rows != LARGE * rows for run in found.values()):
        raise RuntimeError("rows are missing")
    return {
        name: {**asdict(run), "peak_of_small": round(run.peak / _median(small[name]).peak, 3)}
        for name, run in found.items()
    }


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--contest", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = _parsed()
    if options.contest:
        name, source, folder = options.contest
        print(json.dumps(asdict(_contest(name, Path(source), Path(folder)))))
        return
    names = list(dict.fromkeys((*OURS, *options.only)))
    missing = [name for name in ("polars", "datasets") if name in names and find_spec(name) is None]
    present = [name for name in names if name not in missing]
    with tempfile.TemporaryDirectory(prefix="ift-data-") as folder:
        source = Path(folder) / "rows.jsonl"
        write_rows(source, options.rows, 1)
        size = source.stat().st_size / MIB
        runs = _measure(present, source, options.repeats, options.rows)
        large = _large(source, options.rows, runs) if options.large else {}
    if options.json:
        found = {name: [asdict(run) for run in found] for name, found in runs.items()}
        print(json.dumps({"mib": size, "runs": found, "not_installed": missing, "large": large}, indent=2))
        return
    version = platform.python_version()
    print(f"{options.rows:,} rows, {size:.0f} MiB, {options.repeats} repeats, Python {version}")
    print("\n".join(_report(runs, missing)))
    for name, run in large.items():
        speed, peak = run["rows"] / run["cpu"], run["peak"]
        print(f"{name}, {run['rows']:,} rows: {speed:,.0f} rows/CPU s, peak {peak:.1f} MiB", end="")
        print(f" ({run['peak_of_small']:.3f} times that of {options.rows:,} rows)")


if __name__ == "__main__":
    main()
