"""CloudWatch Logs: groups, streams and events. Times are ms since the epoch, as the service has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.state.store import LAST_ID, LogEvent, LogQuery, LogStream

Params = dict[str, Any]

MAX_EVENTS = 10_000
MAX_ANSWER_BYTES = 1 << 20
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
MAX_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26
_LISTED = 50
_SCANNED = 2_000
_TERM = re.compile(r'"(?P<phrase>[^"]+)"|(?P<word>[\w.:/-]+)')


def create_log_group(context: Context, params: Params) -> Params:
    _only(params, "logGroupName")
    if not context.store.create_log_group(params["logGroupName"]):
        raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")
    return {}


def create_log_stream(context: Context, params: Params) -> Params:
    group = _group(context, params)
    if not context.store.create_log_stream(group, params["logStreamName"]):
        raise ServiceError("ResourceAlreadyExistsException", "The specified log stream already exists")
    return {}


def put_log_events(context: Context, params: Params) -> Params:
    group, stream = _group(context, params), params["logStreamName"]
    _require_stream(context, group, stream)
    events = [(event["timestamp"], event["message"]) for event in params["logEvents"]]
    times = [timestamp for timestamp, _ in events]
    if times != sorted(times):
        message = "Log events in a single PutLogEvents request must be in chronological order."
        raise ServiceError("InvalidParameterException", message)
    if sum(map(_size, (message for _, message in events))) > MAX_BATCH_BYTES:
        message = f"Upload too large: more than {MAX_BATCH_BYTES} bytes"
        raise ServiceError("InvalidParameterException", message)
    context.store.append_log_events(group, stream, events)
    return {"nextSequenceToken": "ignored"}


def get_log_events(context: Context, params: Params) -> Params:
    group = _group(context, params)
    stream = params["logStreamName"]
    _require_stream(context, group, stream)
    query = replace(_window(params, group), streams=(stream,))
    query = _placed(query, params.get("nextToken"), from_head=params.get("startFromHead", False))
    found = _cut(context.store.find_log_events(query), newest=query.newest)
    return {
        "events": [_event(event) for event in found],
        "nextForwardToken": f"f/{found[-1].id if found else min(query.after, query.before - 1)}",
        "nextBackwardToken": f"b/{found[0].id if found else min(query.after + 1, query.before)}",
    }


def _placed(query: LogQuery, token: str | None, *, from_head: bool) -> LogQuery:
    """`query` from where a token of GetLogEvents points."""
    if token is None:
        return replace(query, newest=not from_head)
    where = _number(token, "[fb]/")
    if token.startswith("f/"):
        return replace(query, after=where)
    return replace(query, before=where, newest=True)


def filter_log_events(context: Context, params: Params) -> Params:
    group = _group(context, params)
    if "logStreamNames" in params and "logStreamNamePrefix" in params:
        message = "logStreamNames and logStreamNamePrefix cannot both be given"
        raise ServiceError("InvalidParameterException", message)
    terms = _terms(params.get("filterPattern", ""))
    names = params.get("logStreamNames")
    query = replace(
        _window(params, group),
        streams=tuple(names) if names is not None else None,
        stream_prefix=params.get("logStreamNamePrefix", ""),
        after=_number(params["nextToken"], "n/") if "nextToken" in params else 0,
    )
    found, last = _matching(context, query, terms)
    answer: Params = {"events": [_filtered(event) for event in found], "searchedLogStreams": []}
    return answer | ({"nextToken": f"n/{last}"} if last is not None else {})


def _matching(context: Context, query: LogQuery, terms: Sequence[str]) -> tuple[list[LogEvent], int | None]:
    """Events with all the terms, and the last id that was looked at; None for it at the end of the log."""
    found: list[LogEvent] = []
    size = 0
    page = replace(query, limit=_SCANNED)
    while events := context.store.find_log_events(page):
        for event in events:
            if all(term in event.message for term in terms):
                size += _size(event.message)
                if len(found) == query.limit or (found and size > MAX_ANSWER_BYTES):
                    return found, found[-1].id
                found.append(event)
        page = replace(page, after=events[-1].id)
    return found, None


def describe_log_groups(context: Context, params: Params) -> Params:
    _only(params, "logGroupNamePrefix", "nextToken", "limit")
    arn = context.settings.arn
    groups = [
        {
            "logGroupName": name,
            "creationTime": int(created * 1000),
            "arn": arn("logs", f"log-group:{name}:*"),
            "logGroupArn": arn("logs", f"log-group:{name}"),
        }
        for name, created in context.store.log_groups(params.get("logGroupNamePrefix", ""))
    ]
    return _listed(params, "logGroups", groups)


def describe_log_streams(context: Context, params: Params) -> Params:
    group = _group(context, params)
    prefix = params.get("logStreamNamePrefix", "")
    by_time = params.get("orderBy") == "LastEventTime"
    if by_time and prefix:
        message = "Cannot order by LastEventTime with a logStreamNamePrefix."
        raise ServiceError("InvalidParameterException", message)
    streams = context.store.log_streams(group, prefix)
    if by_time:
        streams.sort(key=lambda stream: stream.last or 0)
    if params.get("descending", False):
        streams.reverse()
    return _listed(params, "logStreams", [_stream(context, group, stream) for stream in streams])


def _stream(context: Context, group: str, stream: LogStream) -> Params:
    ingested = None if stream.ingested is None else int(stream.ingested * 1000)
    members = {
        "logStreamName": stream.name,
        "creationTime": int(stream.created * 1000),
        "firstEventTimestamp": stream.first,
        "lastEventTimestamp": stream.last,
        "lastIngestionTime": ingested,
        "arn": context.settings.arn("logs", f"log-group:{group}:log-stream:{stream.name}"),
    }
    return {name: value for name, value in members.items() if value is not None}


def _listed(params: Params, member: str, items: Sequence[Params]) -> Params:
    start = _number(params["nextToken"], "n/") if "nextToken" in params else 0
    end = start + params.get("limit", _LISTED)
    return {member: list(items[start:end])} | ({"nextToken": f"n/{end}"} if end < len(items) else {})


def _group(context: Context, params: Params) -> str:
    """The name of the log group that is asked for, which exists."""
    identifier = str(params.get("logGroupName") or params.get("logGroupIdentifier") or "")
    name = identifier.partition(":log-group:")[2].removesuffix(":*") or identifier
    if not any(found == name for found, _ in context.store.log_groups(name)):
        raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
    return name


def _require_stream(context: Context, group: str, stream: str) -> None:
    if not any(found.name == stream for found in context.store.log_streams(group, stream)):
        raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")


def _window(params: Params, group: str) -> LogQuery:
    limit = params.get("limit", MAX_EVENTS)
    since, until = params.get("startTime", 0), params.get("endTime", LAST_ID)
    return LogQuery(group, since=since, until=until, limit=limit)


def _cut(events: Sequence[LogEvent], *, newest: bool) -> list[LogEvent]:
    """As many events as fit into one answer, from the end that is read first; at least one."""
    kept: list[LogEvent] = []
    size = 0
    for event in reversed(events) if newest else events:
        size += _size(event.message)
        if kept and size > MAX_ANSWER_BYTES:
            break
        kept.append(event)
    return kept[::-1] if newest else kept


def _size(message: str) -> int:
    return len(message.encode()) + EVENT_OVERHEAD_BYTES


def _event(event: LogEvent) -> Params:
    ingested = int(event.ingested * 1000)
    return {"timestamp": event.timestamp, "message": event.message, "ingestionTime": ingested}


def _filtered(event: LogEvent) -> Params:
    return {**_event(event), "logStreamName": event.stream, "eventId": str(event.id)}


def _terms(pattern: str) -> list[str]:
    """The words and quoted phrases of a filter pattern, all of which a message must hold."""
    rest = _TERM.sub("", pattern)
    first_signs = [term[0] for term in pattern.split()]
    if rest.strip() or "-" in first_signs:
        message = (
            f"The filter pattern {pattern!r} is not offered by the local AWS; give words or quoted phrases"
        )
        raise ServiceError("InvalidParameterException", message)
    return [found["phrase"] or found["word"] for found in _TERM.finditer(pattern)]


def _number(token: str, prefix: str) -> int:
    found = re.fullmatch(prefix + r"(\d{1,19})", token)
    if found is None:
        raise ServiceError("InvalidParameterException", "The specified nextToken is invalid.")
    return min(int(found[1]), LAST_ID)


def _only(params: Params, *known: str) -> None:
    others: Iterable[str] = sorted(set(params) - set(known))
    if others:
        message = f"{', '.join(others)}: not offered by the local AWS of ift_sagemaker"
        raise ServiceError("InvalidParameterException", message)


OPERATIONS: dict[str, Callable[[Context, Params], Params]] = {
    "CreateLogGroup": create_log_group,
    "CreateLogStream": create_log_stream,
    "PutLogEvents": put_log_events,
    "GetLogEvents": get_log_events,
    "FilterLogEvents": filter_log_events,
    "DescribeLogGroups": describe_log_groups,
    "DescribeLogStreams": describe_log_streams,
}
