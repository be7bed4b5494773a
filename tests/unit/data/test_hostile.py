"""Files that mean harm, through every command: the finding on its line, exit 3, no traceback, no memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner, Result

from ift_sagemaker.cli.tree import ift
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.data.reading.lines import read_objects
from ift_sagemaker.data.rows.finding import Findings

VERBS = ("check", "convert", "stats", "render", "split")
OF_INSTRUCTIONS_ALONE = ("stats", "render")
MIB = 1 << 20


def _rows(first: int, end: int) -> bytes:
    rows = [
        {"instruction": f"Question {n}?", "input": "", "output": f"Answer {n}"} for n in range(first, end)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _third(line: bytes) -> bytes:
    """Rows of which the third line is this."""
    return _rows(0, 2) + line + b"\n" + _rows(2, 4)


def _with(more: bytes) -> bytes:
    return b'{"instruction": "a", "output": "b", ' + more + b"}"


def _gzipped(piece: bytes, times: int = 200) -> bytes:
    """A bomb: a piece of one MiB 200 times, unless told otherwise."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(piece) for _ in range(times)) + packer.flush()


def _zstd_bomb() -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return b"".join(packer.compress(bytes(MIB)) for _ in range(200)) + packer.flush()


def _long(head: bytes, tail: bytes) -> Callable[[Path], None]:
    """A file with a line of 100 MiB, which takes no place on most disks."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(head)
            file.seek(100 * MIB, os.SEEK_CUR)
            file.write(tail)

    return write


def _folder(**files: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.mkdir()
        for name, content in files.items():
            (path / name.replace("__", ".")).write_bytes(content)

    return write


def _odd(path: Path) -> None:
    """A folder in which one file alone holds rows."""
    _folder(README__md=b"no rows", noext=b"\0", __hidden__bin=b"\xff", z__jsonl=_rows(0, 4))(path)
    (path / "folder.jsonl").mkdir()
    (path / "dangling.jsonl").symlink_to("nowhere")
    (path / "loop.jsonl").symlink_to("loop.jsonl")
    os.mkfifo(path / "pipe.jsonl")


@dataclass(frozen=True)
class Hostile:
    """A file or folder; `found` has (name in the folder or nothing, line, rule) of every error to expect."""

    name: str
    content: bytes | Callable[[Path], None]
    found: tuple[tuple[str, int, str], ...] = ()

    def written(self, folder: Path) -> Path:
        path = folder / self.name
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        return path


def _line(line: int, rule: str, name: str = "x.jsonl", *, content: bytes | Callable[[Path], None]) -> Hostile:
    return Hostile(name, content, (("", line, rule),))


def _third_is(rule: str, line: bytes) -> Hostile:
    return _line(3, rule, content=_third(line))


def _whole(rule: str, name: str, content: bytes | Callable[[Path], None]) -> Hostile:
    return _line(0, rule, name, content=content)


CORPUS: dict[str, Hostile] = {
    "a line of 100 MB": _line(
        2, "line-length", content=_long(_rows(0, 1) + b'{"a": "', b'"}\n' + _rows(1, 3))
    ),
    "a line of 100 MB without an end": _line(2, "line-length", content=_long(_rows(0, 1) + b'{"a": "', b"x")),
    "a line of 100 MB in CSV": _line(
        3, "line-length", "x.csv", content=_long(b"instruction,output\na,b\n", b",d\n")
    ),
    "a line of 100 MB in text": _line(3, "line-length", "x.txt", content=_long(b"one\n\n", b"\n\ntwo\n")),
    "an item of 100 MB": _line(
        2, "json", "x.json", content=_long(b"[" + _rows(0, 1) + b',{"instruction": "', b'"}]')
    ),
    "deep nesting": _third_is("depth", _with(b'"x": ' + b"[" * 100_000 + b"]" * 100_000)),
    "nesting a little too deep": _third_is("depth", _with(b'"x": ' + b"[" * 40 + b"]" * 40)),
    "deep nesting in a list": _line(2, "depth", "x.json", content=b"[" + _rows(0, 1) + b"," + b"[" * 100_000),
    "bytes that are no UTF-8": _third_is("utf-8", b'{"instruction": "\xff", "output": "b"}'),
    "lone carriage returns": _line(1, "json", content=_rows(0, 4).replace(b"\n", b"\r")),
    "a NaN": _third_is("number", _with(b'"x": NaN')),
    "an infinity": _third_is("number", _with(b'"x": -Infinity')),
    "a number beyond a double": _third_is("number", _with(b'"x": 1e400')),
    "a number of 5,000 digits": _third_is("json", _with(b'"x": ' + b"9" * 5000)),
    "a number beyond 64 bits for a text": _third_is("type", b'{"instruction": "a", "output": %d}' % 2**70),
    "a key given twice": _third_is("duplicate-key", _with(b'"output": "c"')),
    "half of a surrogate pair": _third_is("surrogate", b'{"instruction": "a", "output": "\\udc00"}'),
    "half of a surrogate pair in a key": _third_is("surrogate", _with(b'"\\ud800": "x"')),
    "a NUL": _third_is("nul", b'{"instruction": "a\0", "output": "b"}'),
    "an escaped NUL": _third_is("nul", b'{"instruction": "a\\u0000", "output": "b"}'),
    "a byte order mark": _line(1, "bom", content=b"\xef\xbb\xbf" + _rows(0, 4)),
    "UTF-16": _line(1, "nul", content=_rows(0, 1).decode().strip().encode("utf-16")),
    "UTF-16 in CSV": _line(1, "utf-8", "x.csv", content="instruction,output\na,b\n".encode("utf-16")),
    "an empty file": _whole("empty-file", "x.jsonl", b""),
    "blank lines alone": _whole("empty-file", "x.jsonl", b"\n \n\r\n\n"),
    "an empty CSV": _whole("empty-file", "x.csv", b""),
    "a header alone": _whole("empty-file", "x.csv", b"instruction,output\n"),
    "a column given twice": _line(1, "duplicate-key", "x.csv", content=b"instruction,output,output\na,b,c\n"),
    "an open quote": _line(3, "csv", "x.csv", content=b'instruction,output\na,b\n"c,d\n'),
    "a NUL in CSV": _line(3, "nul", "x.csv", content=b"instruction,output\na,b\nc\0,d\n"),
    "a list without an end": _line(4, "json", "x.json", content=b"[\n" + _rows(0, 1) + b"," + _rows(1, 2)),
    "more after the end of a list": _line(
        3, "json", "x.json", content=b"[" + _rows(0, 1) + b"," + _rows(1, 2) + b"] [{}]"
    ),
    "a number for a file": _line(1, "object", "x.json", content=b"12"),
    "a gzip cut short": _whole("compression", "x.jsonl.gz", gzip.compress(_rows(0, 4))[:-9]),
    "more after a gzip": _whole("compression", "x.jsonl.gz", gzip.compress(_rows(0, 4)) + b"more"),
    "no gzip at all": _whole("compression", "x.jsonl.gz", _rows(0, 4)),
    "a zstd cut short": _whole("compression", "x.jsonl.zst", zstandard.compress(_rows(0, 9_000))[:-9]),
    "more after a zstd": _whole("compression", "x.jsonl.zst", zstandard.compress(_rows(0, 4)) + b"more"),
    "no zstd at all": _whole("compression", "x.jsonl.zst", _rows(0, 4)),
    "a gzip bomb": _whole("compression", "x.jsonl.gz", _gzipped(bytes(MIB))),
    "a gzip bomb in CSV": _whole(
        "compression",
        "x.csv.gz",
        gzip.compress(b"instruction,output\n") + _gzipped(b"c" * (MIB // 16) + b",d\n", 4_000),
    ),
    "a zstd bomb": _whole("compression", "x.jsonl.zst", _zstd_bomb()),
    "no Parquet at all": _whole("parquet", "x.parquet", b"PAR1 no"),
    "a folder of nothing": _whole("file", "x", _folder()),
    "a folder with no rows": _whole("file", "x", _folder(README__md=b"no rows")),
    "a folder with a bad file": Hostile(
        "x", _folder(a__jsonl=_rows(0, 4), b__jsonl=_rows(4, 6) + b"\xff\n"), (("b.jsonl", 3, "utf-8"),)
    ),
}
GOOD: dict[str, Hostile] = {
    "line ends of two characters": Hostile("x.jsonl", _rows(0, 4).replace(b"\n", b"\r\n")),
    "no last line end": Hostile("x.jsonl", _rows(0, 4).rstrip()),
    "blank lines between rows": Hostile("x.jsonl", b"\n \n" + _rows(0, 4).replace(b"\n", b"\n\n")),
    "two gzips in one": Hostile("x.jsonl.gz", gzip.compress(_rows(0, 2)) + gzip.compress(_rows(2, 4))),
    "two zstd frames in one": Hostile(
        "x.jsonl.zst", zstandard.compress(_rows(0, 2)) + zstandard.compress(_rows(2, 4))
    ),
    "a folder of odd files": Hostile("x", _odd),
}


def _run(verb: str, source: Path, *more: str) -> Result:
    text = source.suffix == ".txt"
    out = str(source.with_name("out"))
    arguments = {
        "convert": [out, "--to", "domain-text" if text else "alpaca"],
        "split": [out],
        "check": ["--json"],
    }
    result = CliRunner().invoke(ift, ["data", verb, str(source), *arguments.get(verb, []), *more])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.mark.timeout(60)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("what", CORPUS)
def test_every_command_tells_what_is_wrong_and_where_and_ends_with_3(
    tmp_path: Path, what: str, verb: str
) -> None:
    hostile = CORPUS[what]
    source = hostile.written(tmp_path)
    result = _run(verb, source)
    assert result.exit_code == 3
    if verb == "check":
        findings = [found for found in json.loads(result.stdout)["findings"] if found["severity"] == "error"]
        expected = [(str(source / name), line, rule) for name, line, rule in hostile.found]
        assert [(found["path"], found["line"], found["rule"]) for found in findings] == expected
        return
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == [hostile.name]
    if source.suffix == ".txt" and verb in OF_INSTRUCTIONS_ALONE:
        assert "no instructions" in result.stderr
        return
    for name, line, rule in hostile.found:
        place = f"{source / name}:{line}: " if line else f"{source / name}: "
        (told,) = [text for text in result.stderr.splitlines() if text.startswith(f"  - {place}")]
        assert told.endswith(f"[{rule}]")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("what", GOOD)
def test_what_only_looks_hostile_is_read_whole(tmp_path: Path, what: str, verb: str) -> None:
    source = GOOD[what].written(tmp_path)
    assert _run(verb, source).exit_code == 0
    assert len(InstructionDataset.read(source)) == 4


@pytest.mark.parametrize("verb", ["check", "convert", "stats", "render"])
def test_a_template_nested_too_deep_is_refused(tmp_path: Path, verb: str) -> None:
    _folder(template__json=b"[" * 100_000, z__jsonl=_rows(0, 4))(tmp_path / "x")
    result = _run(verb, tmp_path / "x")
    assert result.exit_code == 3
    assert "template.json is not JSON" in result.stderr


def test_a_number_beyond_64_bits_in_a_field_of_its_own_stays_the_number(tmp_path: Path) -> None:
    source = _third_is("", _with(b'"id": %d' % 2**70)).written(tmp_path)
    assert [_run(verb, source).exit_code for verb in ("check", "stats", "render", "convert")] == [0] * 4
    lines = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    assert json.loads(lines[2])["id"] == 2**70
    shutil.rmtree(tmp_path / "out")
    assert _run("split", source).exit_code == 0
    written = [
        json.loads(line) for path in (tmp_path / "out").iterdir() for line in path.read_text().splitlines()
    ]
    assert [row["id"] for row in written if "id" in row] == [2**70]


def test_half_of_a_surrogate_pair_in_a_field_of_its_own_is_refused_where_it_would_be_written(
    tmp_path: Path,
) -> None:
    source = _third_is("", _with(b'"x": "\\udc00"')).written(tmp_path)
    result = _run("convert", source)
    assert result.exit_code == 3
    assert f"{source}:3: alpaca cannot hold half of a surrogate pair" in result.stderr
    assert [
        found["line"] for found in json.loads(_run("check", source, "--for", "alpaca").stdout)["findings"]
    ] == [3]
    assert not (tmp_path / "out").exists()


def test_a_million_blank_lines_are_soon_passed_over() -> None:
    findings, started = Findings("x"), time.process_time()
    rows = list(read_objects(io.BytesIO(b"\n" * MIB + b'{"a": 1}\n'), findings))
    assert rows == [(MIB + 1, {"a": 1})]
    assert time.process_time() - started < 1.0


MEASURED = """
import json, sys
from pathlib import Path
from click.testing import CliRunner
from ift_sagemaker.cli.tree import ift

def peak():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024

def run(source):
    out = source + ".out"
    for verb in (["check"], ["convert", "--to", "alpaca", out], ["stats"], ["render"], ["split", out + "2"]):
        yield CliRunner().invoke(ift, ["data", verb[0], source, *verb[1:]]).exit_code

good, *bad = sys.argv[1:]
codes = list(run(good))
before = peak()
print(json.dumps({"good": codes, "bad": [code for one in bad for code in run(one)], "more": peak() - before}))
"""
LARGE = ("a line of 100 MB", "a line of 100 MB in CSV", "an item of 100 MB", "a gzip bomb", "a zstd bomb")


@pytest.fixture
def measured(tmp_path: Path) -> dict[str, Any]:
    """What one process says that runs every command on good rows, then on all that is large."""
    good = Hostile("good.jsonl", _rows(0, 4)).written(tmp_path)
    sources = []
    for place, what in enumerate(LARGE):
        folder = tmp_path / str(place)
        folder.mkdir()
        sources.append(CORPUS[what].written(folder))
    command = [sys.executable, "-c", MEASURED, str(good), *map(str, sources)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


def test_long_lines_and_bombs_take_little_more_memory_than_a_few_rows(measured: dict[str, Any]) -> None:
    assert measured["good"] == [0] * len(VERBS)
    assert measured["bad"] == [3] * len(VERBS) * len(LARGE)
    assert measured["more"] < 48  # MiB; the lines have 100 and what is compressed 200
