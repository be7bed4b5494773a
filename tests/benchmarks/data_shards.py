"""A set checked by a processing job of several hosts against the same check in one process.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.data_shards [--rows 5000000] [--instances 4] [--json]

Generates one object an instance with rows that repeat, conflict and leak across objects, puts them into a
fresh local AWS (IFT_LOCAL_RUNNER decides what runs its programs), runs both, and ends with 1 unless both
reports are equal. Peak memory is the largest resident set, mapped files included, of any one process that
works for it, and of all together; several hosts share this machine's cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ift_sagemaker import local
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.data.checking.check import Check
from ift_sagemaker.data.checking.depth import Depth
from ift_sagemaker.local.state.settings import ROLE_ARN
from ift_sagemaker.plan.processing import Fleet
from ift_sagemaker.processing import sharded
from ift_sagemaker.processing.sharded import Running
from ift_sagemaker.session import Session

BUCKET = "rows-of-the-benchmark"
_SMALL = "the of and to is in that it for was on are with as you this be have from at".split()  # noqa: SIM905
_REPEATED_EVERY = 100
_HELD_OUT_EVERY = 1_000


def _words() -> list[str]:
    chance = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(chance.choices(letters, k=chance.randint(2, 10))) for _ in range(20_000)] + _SMALL * 300


def _row(words: list[str], number: int) -> dict[str, str]:
    chance = random.Random(number)
    instruction, given, answer = (" ".join(chance.choices(words, k=count)) for count in (8, 50, 32))
    return {"instruction": instruction, "input": given, "output": f"{answer} {number}"}


def _rows(words: list[str], numbers: range, rows: int) -> Iterator[dict[str, str]]:
    """Rows of one object; now and then one of half the set further: the same, in conflict, or nearly so."""
    for number in numbers:
        kind = number % _REPEATED_EVERY
        if kind > 2:
            yield _row(words, number)
            continue
        row = _row(words, (number + rows // 2) // _REPEATED_EVERY * _REPEATED_EVERY + 50)
        if kind == 1:
            row["output"] = f"another answer {number}"
        if kind == 2:
            row["input"] += f" {number}"
        yield row


def _generate(folder: Path, rows: int, objects: int) -> None:
    words = _words()
    (folder / "train").mkdir(parents=True)
    for shard in range(objects):
        part = range(rows * shard // objects, rows * (shard + 1) // objects)
        with (folder / "train" / f"shard-{shard}.jsonl").open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in _rows(words, part, rows))
    with (folder / "test.jsonl").open("w") as file:
        for number in range(70, rows, _HELD_OUT_EVERY):
            row = _row(words, number)
            if number // _HELD_OUT_EVERY % 2:
                row["input"] += f" {number}"
            file.write(json.dumps(row) + "\n")


def _upload(folder: Path) -> None:
    s3 = local.boto3_session().client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for path in sorted(folder.rglob("*.jsonl")):
        s3.upload_file(str(path), BUCKET, path.relative_to(folder).as_posix())
        path.unlink()


class Watcher(threading.Thread):
    """Looks at the resident memory of processes of this local root, this one included."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self._root, self._over = str(root).encode(), threading.Event()
        self.largest = self.together = 0

    def run(self) -> None:
        while not self._over.wait(0.2):
            sizes = [_rss(process) for process in self._processes()]
            self.largest, self.together = max(self.largest, *sizes), max(self.together, sum(sizes))

    def end(self) -> None:
        self._over.set()
        self.join()

    def _processes(self) -> set[int]:
        """This one, those whose command or environment names the root, and all that descend from them."""
        parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
        found = {os.getpid(), *(process for process in parents if self._is_named(process))}
        while more := {one for one, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def _is_named(self, process: int) -> bool:
        try:
            texts = [Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ")]
        except OSError:
            return False
        return any(self._root in text for text in texts)


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _rss(process: int) -> int:
    """Bytes; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/{process}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


@contextmanager
def _measured(result: dict[str, Any], name: str, root: Path) -> Iterator[None]:
    watcher, started = Watcher(root), time.monotonic()
    watcher.start()
    try:
        yield
    finally:
        watcher.end()
        result[name] = {
            "seconds": round(time.monotonic() - started, 1),
            "peak_rss_mib_of_one_process": watcher.largest >> 20,
            "peak_rss_mib_together": watcher.together >> 20,
        }


def measure(rows: int, instances: int, memory_mib: int, root: Path) -> dict[str, Any]:
    """Seconds and peak memory of both ways, and whether their reports are equal."""
    result: dict[str, Any] = {"rows": rows, "instances": instances, "memory_mib": memory_mib}
    with _measured(result, "generate", root):
        _generate(root / "rows", rows, instances)
    size = sum(path.stat().st_size for path in (root / "rows").rglob("*.jsonl"))
    result["mib"] = size >> 20
    with _measured(result, "upload", root):
        _upload(root / "rows")
    session = Session(
        AWSClient(local.boto3_session()), role=ROLE_ARN, patience=Patience(0.2, late_log_in_seconds=0.0)
    )
    how = Check(depth=Depth(memory_bytes=memory_mib << 20))
    train, test = f"s3://{BUCKET}/train/", f"s3://{BUCKET}/test.jsonl"
    with _measured(result, "jobs", root):
        together = sharded.check(session, [train], how, against=[test], running=Running(Fleet(instances)))
    with _measured(result, "alone", root):
        alone = how.report(session.at(train), session.at(test))
    result["rules"] = alone.rules
    result["is_equal"] = together.to_dict() == alone.to_dict()
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--instances", type=int, default=4)
    parser.add_argument("--memory", type=int, default=256, help="MiB that each examination may keep.")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ift-shards-") as name:
        os.environ["IFT_LOCAL_ROOT"] = str(Path(name) / "aws")
        try:
            result = measure(asked.rows, asked.instances, asked.memory, Path(name))
        finally:
            local.reset()
    if asked.json:
        print(json.dumps(result, indent=2))
    else:
        for key, value in result.items():
            print(f"{key:<12}{value}")
    return 0 if result["is_equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
