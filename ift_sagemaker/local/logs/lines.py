"""A program's output as log lines, and the metrics in them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

MAX_LINE_BYTES = 256 * 1024


class Lines:
    """Output bytes in, whole lines out.

    A carriage return starts a line over, as on a terminal: of a progress bar only the state at each flush
    becomes a line. A line of more than `limit` bytes is cut into several.
    """

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._open = b""
        self._overwritten = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes, without empty ones."""
        *whole, rest = (self._open + data).split(b"\n")
        found: list[bytes] = []
        for line in whole:
            found.extend(self._cut(self._visible(line.removesuffix(b"\r"))))
            self._overwritten = b""
        *pieces, self._open = self._cut(self._keep_open(rest))
        return [text(line) for line in (*found, *pieces) if line]

    def flush(self) -> list[str]:
        """The state of a progress bar that has not ended its line yet."""
        shown, self._overwritten = self._overwritten, b""
        return [text(line) for line in self._cut(shown) if line]

    def close(self) -> list[str]:
        """All that is left at the end of the output."""
        last = self._visible(self._open.removesuffix(b"\r"))
        self._open, self._overwritten = b"", b""
        return [text(line) for line in self._cut(last) if line]

    def _keep_open(self, rest: bytes) -> bytes:
        """The part of an open line that is not overwritten yet."""
        line = rest.removesuffix(b"\r")
        before, separator, after = line.rpartition(b"\r")
        if not separator:
            return rest
        self._overwritten = _last(before) or self._overwritten
        return after + rest[len(line) :]

    def _visible(self, line: bytes) -> bytes:
        return _last(line) or self._overwritten

    def _cut(self, line: bytes) -> list[bytes]:
        pieces = []
        while len(line) > self._limit:
            end = self._limit
            while end > self._limit - 4 and line[end] & 0xC0 == 0x80:  # not inside a UTF-8 character
                end -= 1
            pieces.append(line[:end])
            line = line[end:]
        return [*pieces, line]


def _last(line: bytes) -> bytes:
    """What a terminal shows in the end of a line with carriage returns: its last part that is not empty."""
    return next((part for part in reversed(line.split(b"\r")) if part), b"")


def text(line: bytes) -> str:
    """The line as text; bytes that are no UTF-8 become the replacement character."""
    return line.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


class Metrics:
    """The last value of each metric, found in log lines by a job's MetricDefinitions."""

    def __init__(self, definitions: Iterable[Mapping[str, str]]) -> None:
        self._patterns = [(item["Name"], re.compile(item["Regex"])) for item in definitions]
        self._last: dict[str, tuple[float, float]] = {}

    def read(self, line: str, now: float) -> bool:
        """Whether the line holds a metric. `now` is in epoch seconds."""
        found = False
        for name, pattern in self._patterns:
            match = pattern.search(line)
            if match is not None:
                found = self._set(name, match, now) or found
        return found

    def _set(self, name: str, match: re.Match[str], now: float) -> bool:
        with suppress(ValueError, TypeError, IndexError):
            value = float(match[1] if match.re.groups else match[0])
            if math.isfinite(value):
                self._last[name] = (value, now)
                return True
        return False

    def final(self) -> list[dict[str, Any]]:
        """DescribeTrainingJob's FinalMetricDataList."""
        return [
            {"MetricName": name, "Value": value, "Timestamp": when}
            for name, (value, when) in self._last.items()
        ]
