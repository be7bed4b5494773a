"""JSON lines from bytes that nobody vouches for: bounded, strict, every bad line reported and passed over.

A line that is plainly good costs one decoding by orjson and one count; only where something may be wrong is
it decoded again by the standard library, whose hooks see what is strict about JSON and say what is wrong.
"""

from __future__ import annotations

import codecs
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any, NoReturn

import orjson

from ift_sagemaker.data.rows.finding import Findings

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32
_CHUNK = 1024 * 1024
_BEHIND_A_KEY = b'":'


class NotStrictJSONError(ValueError):
    """JSON that Python reads and others do not, or read differently; `rule` names the kind."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def read_objects(file: IO[bytes], findings: Findings) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every good line; blank lines are passed over, bad ones go to `findings`."""
    loads, number = orjson.loads, 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if line == b"\n":  # by the million, where somebody means harm
            continue
        try:
            # the decoder takes many times the space of a line
            row = loads(line) if len(line) <= MAX_LINE_BYTES else None
        except ValueError:
            row = None
        if type(row) is not dict or line.count(_BEHIND_A_KEY) != _keys(row):
            row = _examined(line, number, file, findings)
        if row is not None:
            yield number, row


def _keys(row: dict[str, Any]) -> int:
    """How many keys a row has, in all; -1 where only a closer look can tell."""
    count = len(row)
    for value in row.values():
        kind = type(value)
        if kind is list:
            for item in value:
                if type(item) is not dict:
                    return -1
                count += len(item)
                for text in item.values():
                    if type(text) is not str:
                        return -1
        elif kind is not str:
            return -1
    return count


def _examined(line: bytes, number: int, file: IO[bytes], findings: Findings) -> dict[str, Any] | None:
    """The row of a line that may have something wrong with it; None where it has, or is blank."""
    text = _text(line, number, file, findings)
    if text is None or not text.strip():
        return None
    return strict_object(text, number, findings)


def strict_object(text: str, number: int, findings: Findings) -> dict[str, Any] | None:
    """The JSON object in `text`; None where a finding says why there is none."""
    try:
        value = strict_loads(text)
    except NotStrictJSONError as error:
        findings.add(number, "", error.rule, str(error), text)
    except ValueError as error:
        findings.add(number, "", "json", f"is not JSON: {error}", text)
    else:
        if isinstance(value, dict):
            return value
        findings.add(number, "", "object", "is not a JSON object", text)
    return None


def _text(line: bytes, number: int, file: IO[bytes], findings: Findings) -> str | None:
    if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
        skip_rest(file)
        findings.add(number, "", "line-length", f"is longer than {MAX_LINE_BYTES} bytes")
        return None
    if line.startswith(codecs.BOM_UTF8):
        message = "begins with a byte order mark; save the file as UTF-8 without one"
        findings.add(number, "", "bom", message, _shown(line))
        line = line.removeprefix(codecs.BOM_UTF8)
    if b"\0" in line:
        findings.add(number, "", "nul", "contains a NUL byte", _shown(line))
        return None
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        findings.add(number, "", "utf-8", f"is not UTF-8 at byte {error.start + 1}", _shown(line))
        return None


def skip_rest(file: IO[bytes]) -> None:
    """Reads up to the end of a line that is too long to be held."""
    while (part := file.readline(_CHUNK)) and not part.endswith(b"\n"):
        pass


def _shown(line: bytes) -> str:
    return line[:80].decode("utf-8", "backslashreplace").rstrip()


def strict_loads(text: str) -> Any:
    """The value of a JSON text; raises ValueError, as NotStrictJSONError where Python would take it."""
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise too_deep() from None
    if is_too_deep(value):
        raise too_deep()
    return value


def too_deep() -> NotStrictJSONError:
    return NotStrictJSONError("depth", f"is nested deeper than {MAX_DEPTH} levels")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = min(name for name, count in counts.items() if count > 1)
        raise NotStrictJSONError("duplicate-key", f"has the key {twice!r} more than once")
    try:
        "".join(value).encode()
    except UnicodeEncodeError:
        raise NotStrictJSONError("surrogate", "has a key with half of a surrogate pair") from None
    return value


def _no_constant(name: str) -> NoReturn:
    raise NotStrictJSONError("number", f"contains {name}, which is no JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotStrictJSONError("number", f"contains {text}, which is beyond a double")
    return value


def is_too_deep(value: Any) -> bool:
    """Whether a decoded value is nested deeper than `MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [item for item in level if isinstance(item, (dict, list))]
        if not containers:
            return False
        level = [
            child for item in containers for child in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, (dict, list)) for item in level)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite_float)
