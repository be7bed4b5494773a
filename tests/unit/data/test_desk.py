"""What is written is whole or not there, and nothing stays behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.data import filter_rows, mix_rows, sample_rows, shuffle_rows, split_rows
from ift_sagemaker.data.writing.desk import Desk
from ift_sagemaker.data.writing.rowfile import NotJSONError, compression_of, encode_source
from ift_sagemaker.errors import ConfigError, DatasetError, StorageError

_KILLED = """
import sys, time
from ift_sagemaker.data import split_rows
def wait(_):
    print("reading", flush=True)
    time.sleep(60)
split_rows(sys.argv[1], sys.argv[2], memory_bytes=1 << 20, on_progress=wait)
"""


def _file(folder: Path, rows: int = 30) -> Path:
    path = folder / "rows.jsonl"
    lines = (json.dumps({"instruction": f"Q{n}", "output": "A"}) + "\n" for n in range(rows))
    path.write_text("".join(lines))
    return path


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_run_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    source, place = _file(tmp_path, 6000), tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(source), str(place)], stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"reading\n"
        left = [name for name in _names(tmp_path) if name.endswith(".partial")]
        with Desk(place) as desk:  # as long as the other lives, its folder is its own
            desk.made.write_text("mine")
        assert left[0] in _names(tmp_path)
        running.send_signal(signal.SIGKILL)
    assert left[0] in _names(tmp_path)
    place.unlink()
    split_rows(source, place)
    assert _names(tmp_path) == ["out", "rows.jsonl"]


@pytest.mark.parametrize(
    "shape",
    [
        shuffle_rows,
        lambda source, place: sample_rows(source, place, count=3),
        lambda source, place: filter_rows(source, place, where=["output=A"]),
        lambda source, place: mix_rows({source: 1, source.with_suffix(".other"): 1}, place),
        split_rows,
    ],
)
def test_a_destination_that_is_there_is_left_alone(tmp_path: Path, shape: Callable[..., Any]) -> None:
    place = tmp_path / "out.jsonl"
    place.write_text("mine")
    with pytest.raises(ConfigError, match="there already"):
        shape(_file(tmp_path), place)
    assert place.read_text() == "mine"
    assert _names(tmp_path) == ["out.jsonl", "rows.jsonl"]


def test_nothing_stays_of_work_that_was_interrupted(tmp_path: Path) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shuffle_rows(_file(tmp_path), tmp_path / "out.jsonl", on_progress=interrupt)
    assert _names(tmp_path) == ["rows.jsonl"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    source = _file(tmp_path)
    with pytest.raises(StorageError, match="cannot be written"):
        shuffle_rows(source, source / "below" / "out.jsonl")


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    shuffle_rows(_file(tmp_path), tmp_path / "a" / "b" / "out.jsonl")
    assert _names(tmp_path / "a" / "b") == ["out.jsonl"]


@pytest.mark.parametrize(
    "name", ["rows.json", "rows.csv", "rows", ".jsonl", "rows.jsonl.bz2", "rows.parquet"]
)
def test_a_name_that_says_no_json_lines_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"\.jsonl\.gz"):
        compression_of(Path(name))


@pytest.mark.parametrize("end", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_equal_rows_become_equal_bytes_and_are_read_back(tmp_path: Path, end: str) -> None:
    source = _file(tmp_path)
    places = [tmp_path / f"{name}{end}" for name in ("one", "other")]
    for place in places:
        filter_rows(source, place, where=["output=A"])
    assert places[0].read_bytes() == places[1].read_bytes()
    filter_rows(places[0], tmp_path / "back.jsonl", where=["output=A"])
    assert (tmp_path / "back.jsonl").read_text() == source.read_text().replace(": ", ":").replace(", ", ",")


@pytest.mark.parametrize(
    "text",
    ['{"a":1e400}', '{"a":NaN}', '{"a":1,"a":2}', '{"a":'],
)
def test_what_is_no_json_is_a_finding(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(DatasetError, match=r"rows.jsonl:1"):
        shuffle_rows(path, tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1,"a":[null,true,1.5]}',
        '{"a":123456789012345678901234567890}',
        '{"a":"\\ud800"}',
        '{"a":"é\u2028"}',
        "{}",
    ],
)
def test_a_row_goes_out_with_all_it_had_in_the_order_it_had(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text + "\n", encoding="utf-8")
    shuffle_rows(path, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text("utf-8") == text + "\n"


@pytest.mark.parametrize("value", [b"bytes", Decimal(1), float("nan"), [{"deep": float("inf")}]])
def test_what_json_has_not_is_refused_rather_than_changed(value: Any) -> None:
    with pytest.raises(NotJSONError):
        encode_source({"a": value})


def test_a_parquet_row_that_json_cannot_hold_is_a_finding(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": [1.5, float("nan")]}), tmp_path / "rows.parquet")
    with pytest.raises(DatasetError, match=r"rows.parquet:2: holds NaN"):
        shuffle_rows(tmp_path / "rows.parquet", tmp_path / "out.jsonl")
