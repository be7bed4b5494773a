"""From files to numbered rows: JSON lines, JSON, CSV, Parquet and plain text, compressed or not, or a folder.

Nothing is held but the row at hand, so memory does not grow with the file. A row's number is its line, in
Parquet its place. Files lie on this machine or in S3 (`sources`).
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

from ift_sagemaker.data.reading import images
from ift_sagemaker.data.reading.lines import (
    MAX_DEPTH,
    MAX_LINE_BYTES,
    NotStrictJSONError,
    read_objects,
    skip_rest,
    strict_loads,
)
from ift_sagemaker.data.reading.sources import CompressionError, Source, SourceFile, found_at, opened
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.labels import LABELS_FILE
from ift_sagemaker.errors import UnsupportedError
from ift_sagemaker.wire.template import TEMPLATE_FILE, PromptTemplate

Row = dict[str, Any]
Numbered = Iterator[tuple[int, Row]]

BESIDE = (TEMPLATE_FILE, LABELS_FILE, images.INFO_FILE)
"""Files of a folder of rows that hold no rows."""
_BUFFER = 1 << 20
_PARQUET_ROWS = 1000


def read_files(source: Source, findings: Findings) -> Numbered:
    """Rows of a file, or of every data file of a folder in the order of names; errors are findings.

    A folder of images gives a row an image (see `images`). Files that stand beside rows (a template, the
    names of labels) hold none.
    """
    file, files = found_at(source)
    if file is not None:
        yield from read_file(file, findings)
        return
    if images.has_prompts(files):
        yield from images.read_images(files, findings)
        return
    rows = [file for file in files if file.container in READERS and file.name not in BESIDE]
    if not rows:
        findings.add(0, "", "file", f"holds no file that ends in one of {', '.join(sorted(READERS))}")
    names = _label_names(files, findings)
    for file in rows:
        findings.path = file.address
        for number, row in read_file(file, findings):
            yield number, _with_name(row, names) if names else row


def template_beside(source: Source) -> PromptTemplate | None:
    """The template that lies in a folder of rows, as JumpStart has it; None where there is none."""
    for file in found_at(source)[1]:
        if file.name == TEMPLATE_FILE:
            with file.open() as stream:
                return PromptTemplate.from_json(stream.read(MAX_LINE_BYTES).decode("utf-8", "replace"))
    return None


def read_file(file: SourceFile, findings: Findings) -> Numbered:
    """Rows of one file; without a known suffix it is taken for JSON."""
    read = READERS.get(file.container, _read_json)
    try:
        with opened(file) as stream:
            yield from read(stream, findings)
    except OSError as error:
        findings.add(0, "", "file", f"cannot be read: {error.strerror or error}")
    except CompressionError as error:
        findings.add(0, "", "compression", f"cannot be decompressed: {error}")


def _label_names(files: list[SourceFile], findings: Findings) -> dict[str, str]:
    """The names of numbered labels that stand beside a data.csv; empty where there are none."""
    for file in files:
        if file.name == LABELS_FILE and any(other.name == "data.csv" for other in files):
            try:
                with file.open() as stream:
                    names = strict_loads(stream.read(MAX_LINE_BYTES).decode("utf-8"))
                return {str(number): str(name) for number, name in names.items()}
            except (OSError, ValueError, AttributeError) as error:
                findings.path = file.address
                findings.add(0, "", "labels", f"is no object of numbers and names: {error}")
    return {}


def _with_name(row: Row, names: dict[str, str]) -> Row:
    return {**row, "label": names.get(row["label"], row["label"])} if "label" in row else row


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
            self._end()
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

    def _end(self) -> None:
        self._take(self._at + 1)
        self._skip(_BLANK)
        if self._at < len(self._text):
            self._stop("json", "goes on after the end of the list; what follows was not read")

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
    reader = csv.reader(_csv_lines(text), strict=True)
    try:
        yield from _csv_rows(reader, findings)
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 ({error.reason}); what follows was not read"
        findings.add(reader.line_num + 1, "", "utf-8", message)
    except _LongLineError:
        message = f"is longer than {MAX_LINE_BYTES} characters; what follows was not read"
        findings.add(reader.line_num + 1, "", "line-length", message)
    except csv.Error as error:
        findings.add(reader.line_num, "", "csv", f"is not CSV: {error}; what follows was not read")
    finally:
        text.detach()


class _LongLineError(Exception):
    pass


def _csv_lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise _LongLineError
        yield line


def _csv_rows(reader: Any, findings: Findings) -> Numbered:
    """Rows named by the header. A file whose first line has a whole number for a label has none."""
    first = next(reader, None)
    if first is None:
        return
    labelled = _headless(first)
    names = labelled or tuple(first)
    if labelled:
        yield reader.line_num, dict(zip(names, first, strict=True))
    elif len(set(names)) < len(names):
        twice = min(name for name in names if names.count(name) > 1)
        findings.add(reader.line_num, "", "duplicate-key", f"names the column {twice!r} more than once")
        return
    for cells in reader:
        if cells and (row := _named(names, cells, reader.line_num, findings)) is not None:
            yield reader.line_num, row


def _headless(first: list[str]) -> tuple[str, ...]:
    """Names of the columns of labelled texts without a header; none where the first line is one."""
    if 2 <= len(first) <= 3 and first[0].strip().isdigit():
        return ("label", "text", "second_text")[: len(first)]
    if len(first) == 2 and first[1].strip().isdigit():
        return ("text", "label")
    return ()


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
        text = _decoded(line, number, file, findings)
        if text.strip():
            start = start or number
            lines.append(text.rstrip("\r\n"))
        elif lines:
            yield start, {"text": "\n".join(lines)}
            lines, start = [], 0
    if lines:
        yield start, {"text": "\n".join(lines)}


def _decoded(line: bytes, number: int, file: IO[bytes], findings: Findings) -> str:
    if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
        skip_rest(file)
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


READERS: dict[str, Callable[[IO[bytes], Findings], Numbered]] = {
    ".jsonl": _read_json,
    ".json": _read_json,
    ".ndjson": _read_json,
    ".csv": _read_csv,
    ".txt": _read_text,
    ".parquet": _read_parquet,
}
