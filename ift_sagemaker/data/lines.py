"""JSON lines from bytes that nobody vouches for: bounded, strict, every bad line reported and passed over."""

from __future__ import annotations

import codecs
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any, NoReturn

import jsonlines

from ift_sagemaker.data.finding import Findings

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
_CHUNK = 1024 * 1024


class _NotStrictJSONError(ValueError):
    """JSON that Python reads and others do not, or read differently; `rule` names the kind."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def read_objects(file: IO[bytes], findings: Findings) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every good line; blank lines are passed over, bad ones go to `findings`."""
    lines = _Lines(file, findings)
    with jsonlines.Reader(lines, loads=_strict_loads) as reader:
        while True:
            try:
                row = reader.read(type=dict)
            except EOFError:
                return
            except jsonlines.InvalidLineError as error:
                _report(error, lines.number, findings)
            else:
                yield lines.number, row


class _Lines:
    """Iterates over the lines of a file as text; `number` is the line last given."""

    def __init__(self, file: IO[bytes], findings: Findings) -> None:
        self._file = file
        self._findings = findings
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(MAX_LINE_BYTES + 1):
            self.number += 1
            text = self._text(line)
            if text is not None and text.strip():
                yield text

    def _text(self, line: bytes) -> str | None:
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            self._skip_rest()
            self._add("line-length", f"is longer than {MAX_LINE_BYTES} bytes")
            return None
        if line.startswith(codecs.BOM_UTF8):
            self._add("bom", "begins with a byte order mark; save the file as UTF-8 without one")
            line = line.removeprefix(codecs.BOM_UTF8)
        if b"\0" in line:
            self._add("nul", "contains a NUL byte", line)
            return None
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            self._add("utf-8", f"is not UTF-8 at byte {error.start + 1}", line)
            return None

    def _skip_rest(self) -> None:
        while (part := self._file.readline(_CHUNK)) and not part.endswith(b"\n"):
            pass

    def _add(self, rule: str, message: str, line: bytes = b"") -> None:
        shown = line[:80].decode("utf-8", "backslashreplace").rstrip() if line else None
        self._findings.add(self.number, "", rule, message, shown)


def _report(error: jsonlines.InvalidLineError, number: int, findings: Findings) -> None:
    cause = error.__cause__
    line = str(error.line)
    if isinstance(cause, _NotStrictJSONError):
        findings.add(number, "", cause.rule, str(cause), line)
    elif cause is not None:
        findings.add(number, "", "json", f"is not JSON: {cause}", line)
    else:
        hint = "; a JSON list becomes JSON lines with one object a line" if line.startswith("[") else ""
        findings.add(number, "", "object", f"is not a JSON object{hint}", line)


def _strict_loads(text: str | bytes) -> Any:
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite_float
        )
    except RecursionError:
        raise _NotStrictJSONError("depth", f"is nested deeper than {MAX_DEPTH} levels") from None
    if _too_deep(value):
        raise _NotStrictJSONError("depth", f"is nested deeper than {MAX_DEPTH} levels")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = min(name for name, count in counts.items() if count > 1)
        raise _NotStrictJSONError("duplicate-key", f"has the key {twice!r} more than once")
    return value


def _no_constant(name: str) -> NoReturn:
    raise _NotStrictJSONError("number", f"contains {name}, which is no JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotStrictJSONError("number", f"contains {text}, which is beyond a double")
    return value


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [item for item in level if isinstance(item, (dict, list))]
        if not containers:
            return False
        level = [
            child for item in containers for child in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, (dict, list)) for item in level)
