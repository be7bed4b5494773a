"""Reading a job's log streams from where the last look ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ift_sagemaker.aws.errors import translated
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.errors import AWSError, CredentialsError, ResourceNotFoundError

LATE_LOOKS = 5


@dataclass(frozen=True)
class LogLine:
    """One log event; `timestamp` is milliseconds since the epoch, UTC."""

    stream: str
    timestamp: int
    message: str


@dataclass
class LogTail:
    """The log of every stream under a prefix (of all, where it is empty).

    Each `poll` gives the lines since the one before.

    Tokens advance only when a whole poll has succeeded, so one that fails loses and repeats nothing.
    """

    client: Callable[[], Any]
    group: str
    prefix: str
    tokens: dict[str, str] = field(default_factory=dict)

    def poll(self) -> list[LogLine]:
        lines: list[LogLine] = []
        tokens = dict(self.tokens)
        for stream in self._streams():
            lines += self._read(stream, tokens)
        self.tokens = tokens
        return sorted(lines, key=lambda line: line.timestamp)

    def _streams(self) -> list[str]:
        names: list[str] = []
        try:
            with translated("DescribeLogStreams"):
                request = {"logGroupName": self.group}
                if self.prefix:
                    request["logStreamNamePrefix"] = self.prefix
                pages = self.client().get_paginator("describe_log_streams").paginate(**request)
                names = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
        except ResourceNotFoundError:
            return []
        return names

    def _read(self, stream: str, tokens: dict[str, str]) -> list[LogLine]:
        lines: list[LogLine] = []
        while True:
            request = {"logGroupName": self.group, "logStreamName": stream, "startFromHead": True}
            if stream in tokens:
                request["nextToken"] = tokens[stream]
            with translated("GetLogEvents"):
                page = self.client().get_log_events(**request)
            lines += [
                LogLine(stream, event["timestamp"], event["message"]) for event in page.get("events", [])
            ]
            token = page["nextForwardToken"]
            if token == tokens.get(stream):
                return lines
            tokens[stream] = token


@dataclass
class BearableLog:
    """A log whose loss is told once, as a line of its own, and does not end the watching of the job.

    Credentials that have ended are no loss of the log: they end the watching.
    """

    tail: LogTail
    patience: Patience
    lost: bool = False

    def new_lines(self) -> tuple[LogLine, ...]:
        if self.lost:
            return ()
        try:
            return tuple(self.patience.call(self.tail.poll))
        except CredentialsError:
            raise
        except AWSError as error:
            self.lost = True
            return (LogLine("", 0, f"(the job's log cannot be read: {error})"),)


@dataclass
class Rest:
    """The end of a log that nobody writes to any more: CloudWatch lags, so it is over once it was silent.

    One that never falls silent is over after a few such spans.
    """

    patience: Patience
    late: int = 0
    first: float | None = None
    since: float = 0.0

    def is_over(self, lines: Sequence[LogLine]) -> bool:
        """Whether this look, which saw `lines`, was the last one."""
        now, late_log = self.patience.clock(), self.patience.late_log_in_seconds
        if self.first is None:
            self.first = self.since = now
        if lines:
            self.late, self.since = self.late + 1, now
            return self.late > LATE_LOOKS and now - self.first >= LATE_LOOKS * late_log
        return now - self.since >= late_log

    def read(self, tail: LogTail) -> Iterator[LogLine]:
        """Every line of the tail up to the end. Raises as `LogTail.poll`."""
        while True:
            lines = self.patience.call(tail.poll)
            yield from lines
            if self.is_over(lines):
                return
            self.patience.pause()
