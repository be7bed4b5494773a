"""From files to numbered rows: JSON lines, JSON, CSV, Parquet and plain text, compressed or not, or a folder.

Nothing is held but the row at hand, so memory does not grow with the file. A row's number is its line, in
Parquet its place.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from ift_sagemaker.data.finding import Findings
from ift_sagemaker.data.lines import (
    MAX_DEPTH,
    MAX_LINE_BYTES,
    NotStrictJSONError,
    read_objects,
    strict_loads,
)
from ift_sagemaker.errors import UnsupportedError

Row = dict[str, Any]
Numbered = Iterator[tuple[int, Row]]

MAX_RATIO = 500
"""Bytes that one compressed byte may become, once there are more than 64 MiB."""
_FREE_BYTES = 64 << 20
_BUFFER = 1 << 20
_PARQUET_ROWS = 1000


def read_files(path: Path, findings: Findings) -> Numbered:
    """Rows of a file, or of every data file of a folder in the order of names; errors are findings."""
    if not path.is_dir():
        yield from _read_file(path, findings)
        return
    files = sorted(file for file in path.iterdir() if file.is_file() and _container_of(file) in _READERS)
    if not files:
        findings.add(0, "", "file", f"holds no file that ends in one of {', '.join(sorted(_READERS))}")
    for file in files:
        findings.path = str(file)
        yield from _read_file(file, findings)


def _container_of(path: Path) -> str:
    """The suffix that tells the container, that of the compression left out."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _OPENERS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _read_file(path: Path, findings: Findings) -> Numbered:
    read = _READERS.get(_container_of(path), _read_json)
    try:
        with _opened(path) as file:
            yield from read(file, findings)
    except OSError as error:
        findings.add(0, "", "file", f"cannot be read: {error.strerror or error}")
    except _CompressionError as error:
        findings.add(0, "", "compression", f"cannot be decompressed: {error}")


class _CompressionError(Exception):
    """A compressed file is damaged, or far more comes out of it than any text would give."""


class _Counted(io.RawIOBase):
    """Reads `inner`, as long as what comes out stays within the ratio of what went in."""

    def __init__(self, inner: IO[bytes], compressed: IO[bytes], errors: tuple[type[Exception], ...]) -> None:
        self._inner, self._compressed, self._count = inner, compressed, 0
        self._errors = errors

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._inner.read(len(buffer))
        except self._errors as error:
            raise _CompressionError(str(error) or "its end is missing") from error
        self._count += len(data)
        if self._count > _FREE_BYTES and self._count > MAX_RATIO * max(1, self._compressed.tell()):
            raise _CompressionError(f"it grows beyond {MAX_RATIO} times its size")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb", buffering=_BUFFER) as file:
        opener = _OPENERS.get(path.suffix.lower())
        if opener is None:
            yield file
            return
        inner, errors = opener(file)
        with inner, io.BufferedReader(_Counted(inner, file, errors), _BUFFER) as counted:
            yield cast("IO[bytes]", counted)


_Opened = tuple[IO[bytes], tuple[type[Exception], ...]]


def _gunzip(file: IO[bytes]) -> _Opened:
    unzipped = cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    return unzipped, (EOFError, zlib.error, gzip.BadGzipFile)


def _unzstd(file: IO[bytes]) -> _Opened:
    try:
        import zstandard
    except ImportError:
        raise UnsupportedError(
            "a .zst file needs the package zstandard: pip install 'ift-sagemaker[data]'", feature="zstd"
        ) from None
    return zstandard.ZstdDecompressor().stream_reader(file), (zstandard.ZstdError,)


_OPENERS: dict[str, Callable[[IO[bytes]], _Opened]] = {".gz": _gunzip, ".zst": _unzstd}


def _read_json(file: IO[bytes], findings: Findings) -> Numbered:
    """JSON lines, or the items of one JSON list: the first character tells."""
    start = file.peek(_BUFFER)[:4096] if hasattr(file, "peek") else b""
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    is_list = text.startswith(b"[") and not _is_whole_line_list(text)
    return _read_list(file, findings) if is_list else read_objects(file, findings)


def _is_whole_line_list(text: bytes) -> bool:
    """Whether the first line is a list of its own that others follow: no list of rows."""
    first, newline, rest = text.partition(b"\n")
    return bool(newline and rest.strip()) and first.rstrip().endswith(b"]") and first.count(b"{") == 0


def _read_list(file: IO[bytes], findings: Findings) -> Numbered:
    items = _Items(file, findings)
    for number, text, value in items:
        if isinstance(value, dict):
            row = _strict(text, number, findings)
            if row is not None:
                yield number, row
        else:
            findings.add(number, "", "object", "is not a JSON object", text[:200])


def _strict(text: str, number: int, findings: Findings) -> Row | None:
    try:
        row: Row = strict_loads(text)
    except NotStrictJSONError as error:
        findings.add(number, "", error.rule, str(error), text[:200])
        return None
    return row


class _Items:
    """(line, text, value) of every item of one JSON list, read piece by piece."""

    def __init__(self, file: IO[bytes], findings: Findings) -> None:
        self._file = file
        self._findings = findings
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def __iter__(self) -> Iterator[tuple[int, str, Any]]:
        try:
            self._skip(_BLANK)
            self._take(self._at + 1)  # the bracket
            while (item := self._next()) is not None:
                yield item
        except UnicodeDecodeError as error:
            self._stop("utf-8", f"is not UTF-8 ({error.reason}); what follows was not read")
        except RecursionError:
            self._stop("depth", f"is nested deeper than {MAX_DEPTH} levels; what follows was not read")

    def _next(self) -> tuple[int, str, Any] | None:
        self._skip(_BETWEEN)
        if self._at == len(self._text):
            self._stop("json", "the list has no end")
            return None
        if self._text[self._at] == "]":
            return None
        while True:
            try:
                value, end = _PLAIN.raw_decode(self._text, self._at)
            except ValueError as error:
                if self._ended or len(self._text) - self._at > MAX_LINE_BYTES:
                    self._stop("json", f"is not JSON: {error}; what follows was not read")
                    return None
            else:
                if end < len(self._text) or self._ended:  # a number may go on in the next piece
                    number, text = self._line, self._text[self._at : end]
                    self._take(end)
                    return number, text, value
            self._fill()

    def _skip(self, characters: re.Pattern[str]) -> None:
        while True:
            found = characters.match(self._text, self._at)
            self._take(found.end() if found else self._at)
            if self._at < len(self._text) or self._ended:
                return
            self._fill()

    def _take(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _fill(self) -> None:
        rest = self._text[self._at :]
        # as much again as there is, so that a long item is not scanned over and over
        data = self._file.read(max(_BUFFER, len(rest)))
        self._ended = not data
        self._text, self._at = rest + self._decoder.decode(data, final=self._ended), 0

    def _stop(self, rule: str, message: str) -> None:
        self._findings.add(self._line, "", rule, message, self._text[self._at : self._at + 80] or None)


_BLANK = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_PLAIN = json.JSONDecoder()


def _read_csv(file: IO[bytes], findings: Findings) -> Numbered:
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    try:
        yield from _csv_rows(reader, findings)
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 ({error.reason}); what follows was not read"
        findings.add(reader.line_num + 1, "", "utf-8", message)
    except csv.Error as error:
        findings.add(reader.line_num, "", "csv", f"is not CSV: {error}; what follows was not read")
    finally:
        text.detach()


def _csv_rows(reader: Any, findings: Findings) -> Numbered:
    """Rows named by the header; a file that begins with a whole number has none: label, text, second text."""
    first = next(reader, None)
    if first is None:
        return
    headless = 2 <= len(first) <= 3 and first[0].strip().isdigit()
    names = ("label", "text", "second_text")[: len(first)] if headless else tuple(first)
    if headless:
        yield reader.line_num, dict(zip(names, first, strict=True))
    for cells in reader:
        if cells and (row := _named(names, cells, reader.line_num, findings)) is not None:
            yield reader.line_num, row


def _named(names: tuple[str, ...], cells: list[str], number: int, findings: Findings) -> Row | None:
    if len(cells) != len(names):
        message = f"has {len(cells)} cells, the header has {len(names)}"
        findings.add(number, "", "columns", message, ", ".join(cells))
        return None
    return dict(zip(names, cells, strict=True))


def _read_text(file: IO[bytes], findings: Findings) -> Numbered:
    """Paragraphs: what stands between blank lines."""
    lines: list[str] = []
    number = start = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        text = _decoded(line, number, findings)
        if text.strip():
            start = start or number
            lines.append(text.rstrip("\r\n"))
        elif lines:
            yield start, {"text": "\n".join(lines)}
            lines, start = [], 0
    if lines:
        yield start, {"text": "\n".join(lines)}


def _decoded(line: bytes, number: int, findings: Findings) -> str:
    if len(line) > MAX_LINE_BYTES:
        findings.add(number, "", "line-length", f"is longer than {MAX_LINE_BYTES} bytes")
        return ""
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        findings.add(number, "", "utf-8", f"is not UTF-8 at byte {error.start + 1}")
        return ""


def _read_parquet(file: IO[bytes], findings: Findings) -> Numbered:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UnsupportedError(
            "a Parquet file needs the package pyarrow: pip install 'ift-sagemaker[data]'", feature="parquet"
        ) from None
    try:
        number = 0
        for batch in ParquetFile(file).iter_batches(batch_size=_PARQUET_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield number, {name: value for name, value in row.items() if value is not None}
    except ArrowInvalid as error:
        findings.add(0, "", "parquet", f"is not Parquet: {error}")


_READERS: dict[str, Callable[[IO[bytes], Findings], Numbered]] = {
    ".jsonl": _read_json,
    ".json": _read_json,
    ".ndjson": _read_json,
    ".csv": _read_csv,
    ".txt": _read_text,
    ".parquet": _read_parquet,
}
