"""The same rows from every kind of file; a hostile file gives a finding, no traceback and no memory jump."""

from __future__ import annotations

import csv
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.data.reading.containers import read_files
from ift_sagemaker.data.reading.lines import MAX_LINE_BYTES
from ift_sagemaker.data.rows.finding import Findings

ROWS = [{"instruction": f"Frage {n} ä中", "input": "", "output": f"a,\n{n}"} for n in range(3)]


def _jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _write_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)


FILES: dict[str, Callable[[Path], object]] = {
    "rows.jsonl": lambda path: path.write_bytes(_jsonl(ROWS)),
    "rows.ndjson": lambda path: path.write_bytes(_jsonl(ROWS)),
    "rows": lambda path: path.write_bytes(_jsonl(ROWS)),
    "rows.json": lambda path: path.write_text(json.dumps(ROWS)),
    "pretty.json": lambda path: path.write_text(json.dumps(ROWS, indent=2)),
    "list.jsonl": lambda path: path.write_text(json.dumps(ROWS)),
    "rows.csv": _write_csv,
    "rows.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path),
    "rows.jsonl.gz": lambda path: path.write_bytes(gzip.compress(_jsonl(ROWS))),
    "rows.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "rows.jsonl.zst": lambda path: path.write_bytes(zstandard.compress(_jsonl(ROWS))),
}


def _read(path: Path) -> tuple[list[tuple[int, dict[str, Any]]], list[tuple[int, str]]]:
    findings = Findings(str(path))
    rows = list(read_files(path, findings))
    return rows, [(finding.line, finding.rule) for finding in findings.errors]


@pytest.mark.parametrize("name", FILES)
def test_the_same_rows_come_from_every_kind_of_file(tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / name)
    assert list(InstructionDataset.read(tmp_path / name)) == ROWS


def test_a_folder_is_read_file_by_file_in_the_order_of_names(tmp_path: Path) -> None:
    FILES["rows.json"](tmp_path / "b.json")
    FILES["rows.csv"](tmp_path / "a.csv")
    (tmp_path / "README.md").write_text("not data")
    assert list(InstructionDataset.read(tmp_path)) == ROWS + ROWS


def test_a_finding_in_a_folder_names_its_file(tmp_path: Path) -> None:
    FILES["rows.jsonl"](tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_bytes(b"{\n")
    findings = Findings(str(tmp_path))
    assert len(list(read_files(tmp_path, findings))) == 3
    assert [(finding.path, finding.line) for finding in findings.errors] == [(str(tmp_path / "b.jsonl"), 1)]


def test_items_of_a_list_have_the_line_they_begin_on(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[\n  {"a": 1},\n  {"a":\n 2},\n  {"a": 3}\n]')
    rows, errors = _read(tmp_path / "rows.json")
    assert rows == [(2, {"a": 1}), (3, {"a": 2}), (5, {"a": 3})]
    assert errors == []


def test_a_long_list_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    with path.open("w") as file:
        file.write("[" + ",".join(json.dumps({"n": n, "text": "x" * 990}) for n in range(20_000)) + "]")
    findings = Findings(str(path))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_files(path, findings))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (count, findings.errors) == (20_000, ())
    assert peak < 8 << 20 < path.stat().st_size


def test_a_csv_without_a_header_is_labels_and_texts(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text('0,good\n1,"bad, really"\n')
    rows, errors = _read(tmp_path / "data.csv")
    assert rows == [(1, {"label": "0", "text": "good"}), (2, {"label": "1", "text": "bad, really"})]
    assert errors == []


def test_paragraphs_of_a_text_are_rows(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("\none\ntwo\n\n\nthree\n")
    rows, _ = _read(tmp_path / "book.txt")
    assert rows == [(2, {"text": "one\ntwo"}), (6, {"text": "three"})]


def _bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()


LONG = b'{"a": "' + b"x" * (100 << 20) + b'"}\n{\n'
HOSTILE: dict[str, tuple[str, bytes, list[tuple[int, str]]]] = {
    "a line of 100 MB": (
        "x.jsonl",
        b'{"a": "' + b"x" * (100 << 20) + b'"}\n{\n',
        [(1, "line-length"), (2, "json")],
    ),
    "deep nesting": ("x.jsonl", b"[" * 100_000 + b"\n", [(1, "depth")]),
    "deep nesting in a list": ("x.json", b"[\n" + b"[" * 100_000, [(2, "depth")]),
    "bytes that are no UTF-8": ("x.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', [(2, "utf-8")]),
    "a list that is no UTF-8": ("x.json", b'[{"a": 1},\n{"a": "\xff"}]', [(1, "utf-8")]),
    "a CSV that is no UTF-8": ("x.csv", b"a,b\n1,\xff\n", [(1, "utf-8")]),
    "a NaN": ("x.jsonl", b'{"a": NaN}\r\n{"a": 1}\r\n', [(1, "number")]),
    "a NaN in a list": ("x.json", b'[{"a": 1},\n{"a": NaN}]', [(2, "number")]),
    "a key given twice": ("x.jsonl", b'{"a": 1, "a": 2}\n', [(1, "duplicate-key")]),
    "a key given twice in a list": ("x.json", b'[{"a": 1, "a": 2}]', [(1, "duplicate-key")]),
    "a key given twice in a turn": ("x.jsonl", b'{"m": [{"a": "x", "a": "y"}]}\n', [(1, "duplicate-key")]),
    "a list without an end": ("x.json", b'[{"a": 1},\n{"a"', [(2, "json")]),
    "a list of numbers": ("x.json", b"[1,\n2]", [(1, "object"), (2, "object")]),
    "too many cells": ("x.csv", b"a,b\n1,2\n1,2,3\n", [(3, "columns")]),
    "an open quote": ("x.csv", b'a,b\n1,"2\n', [(2, "csv")]),
    "a gzip cut short": ("x.jsonl.gz", gzip.compress(_jsonl(ROWS))[:-9], [(0, "compression")]),
    "no gzip at all": ("x.jsonl.gz", b"plain", [(0, "compression")]),
    "no zstd at all": ("x.jsonl.zst", b"plain text, and no more", [(0, "compression")]),
    "a gzip bomb": ("x.jsonl.gz", _bomb(), [(0, "compression")]),
    "no Parquet at all": ("x.parquet", b"PAR1 no", [(0, "parquet")]),
    "an empty file": ("x.jsonl", b"", []),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_gives_its_finding_on_the_right_line(tmp_path: Path, what: str) -> None:
    name, content, expected = HOSTILE[what]
    (tmp_path / name).write_bytes(content)
    tracemalloc.start()
    try:
        _, errors = _read(tmp_path / name)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert errors == expected
    assert peak < 8 * MAX_LINE_BYTES


def test_what_needs_a_package_that_is_not_there_is_told_by_the_extra_to_install() -> None:
    # the packages are there in every test environment; that both are extras is what keeps the core light
    from importlib.metadata import requires

    needed = [line for line in requires("ift-sagemaker") or [] if line.startswith(("pyarrow", "zstandard"))]
    assert all("extra ==" in line for line in needed)
