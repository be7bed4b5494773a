"""Reading a job's log streams from where the last look ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ift_sagemaker.aws.errors import translated
from ift_sagemaker.errors import ResourceNotFoundError


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
