"""CloudWatch Logs: groups, streams and events. Times are ms since the epoch, as the service has them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ift_sagemaker.local.logs import patterns
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.log_records import LAST_ID, LogEvent, LogQuery, LogStream, StreamOrder
from ift_sagemaker.local.state.settings import Context

Params = dict[str, Any]

MAX_EVENTS = 10_000
MAX_ANSWER_BYTES = 1 << 20
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
MAX_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26
_LISTED = 50
_SCANNED = 2_000


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


def delete_log_group(context: Context, params: Params) -> Params:
    """What nothing else does: the logs of a job or endpoint outlive it, as on AWS."""
    context.store.delete_log_group(_group(context, params))
    return {}


def delete_log_stream(context: Context, params: Params) -> Params:
    group, stream = _group(context, params), params["logStreamName"]
    _require_stream(context, group, stream)
    context.store.delete_log_stream(group, stream)
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
    pattern = patterns.parse(params.get("filterPattern", ""))
    names = params.get("logStreamNames")
    query = replace(
        _window(params, group),
        streams=tuple(names) if names is not None else None,
        stream_prefix=params.get("logStreamNamePrefix", ""),
        after=_number(params["nextToken"], "n/") if "nextToken" in params else 0,
    )
    found, last = _matching(context, query, pattern)
    answer: Params = {"events": [_filtered(event) for event in found], "searchedLogStreams": []}
    return answer | ({"nextToken": f"n/{last}"} if last is not None else {})


def _matching(
    context: Context, query: LogQuery, pattern: patterns.Pattern
) -> tuple[list[LogEvent], int | None]:
    """Events that fit the pattern, and the last id that was looked at; None for it at the end of the log."""
    found: list[LogEvent] = []
    size = 0
    page = replace(query, limit=_SCANNED)
    while events := context.store.find_log_events(page):
        for event in events:
            if pattern.fits(event.message):
                size += _size(event.message)
                if len(found) == query.limit or (found and size > MAX_ANSWER_BYTES):
                    return found, found[-1].id
                found.append(event)
        page = replace(page, after=events[-1].id)
    return found, None


def describe_log_groups(context: Context, params: Params) -> Params:
    _only(params, "logGroupNamePrefix", "nextToken", "limit")
    arn, limit = context.settings.arn, params.get("limit", _LISTED)
    after = _position(params, "groups")[1]
    found = context.store.log_groups(params.get("logGroupNamePrefix", ""), after, limit + 1)
    groups = [
        {
            "logGroupName": name,
            "creationTime": int(created * 1000),
            "arn": arn("logs", f"log-group:{name}:*"),
            "logGroupArn": arn("logs", f"log-group:{name}"),
        }
        for name, created in found[:limit]
    ]
    more = _next("groups", 0, found[limit - 1][0]) if len(found) > limit else {}
    return {"logGroups": groups, **more}


def describe_log_streams(context: Context, params: Params) -> Params:
    group = _group(context, params)
    prefix = params.get("logStreamNamePrefix", "")
    by_time = params.get("orderBy") == "LastEventTime"
    if by_time and prefix:
        message = "Cannot order by LastEventTime with a logStreamNamePrefix."
        raise ServiceError("InvalidParameterException", message)
    descending, limit = params.get("descending", False), params.get("limit", _LISTED)
    order = f"{'time' if by_time else 'name'}-{'down' if descending else 'up'}"
    after = _position(params, order) if "nextToken" in params else None
    found = context.store.log_streams(group, prefix, StreamOrder(by_time, descending, after, limit + 1))
    page = found[:limit]
    more = _next(order, page[-1].last or 0, page[-1].name) if len(found) > limit else {}
    return {"logStreams": [_stream(context, group, stream) for stream in page], **more}


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


def _next(order: str, time: int, name: str) -> Params:
    """The token of a page that ended with `name`: whatever comes or goes, the next one begins behind it."""
    return {"nextToken": base64.urlsafe_b64encode(json.dumps([order, time, name]).encode()).decode()}


def _position(params: Params, order: str) -> tuple[int, str]:
    """Where the page before ended; before everything where there was none."""
    if "nextToken" not in params:
        return 0, ""
    try:
        found, time, name = json.loads(base64.b64decode(params["nextToken"].encode(), b"-_", validate=True))
    except ValueError:
        raise _invalid_token() from None
    if found != order or type(time) is not int or abs(time) > LAST_ID or not isinstance(name, str):
        raise _invalid_token()
    return time, name


def _group(context: Context, params: Params) -> str:
    """The name of the log group that is asked for, which exists."""
    identifier = str(params.get("logGroupName") or params.get("logGroupIdentifier") or "")
    name = identifier.partition(":log-group:")[2].removesuffix(":*") or identifier
    if not context.store.has_log_group(name):
        raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
    return name


def _require_stream(context: Context, group: str, stream: str) -> None:
    if not context.store.has_log_stream(group, stream):
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


def _number(token: str, prefix: str) -> int:
    found = re.fullmatch(prefix + r"(\d{1,19})", token)
    if found is None:
        raise _invalid_token()
    return min(int(found[1]), LAST_ID)


def _invalid_token() -> ServiceError:
    return ServiceError("InvalidParameterException", "The specified nextToken is invalid.")


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
    "DeleteLogGroup": delete_log_group,
    "DeleteLogStream": delete_log_stream,
}
