"""The weather before the services: throttled lists, an expired token, empty pages, state that lags."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ift_sagemaker.contract.wordings import OTHERS
from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.protocol.request import Request
from ift_sagemaker.local.state.resources import refused
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.weather.profile import Weather
from ift_sagemaker.local.weather.store import EventualStore

Answer = Callable[[Context, Request], HTTPAnswer]

EMPTY_PAGE = "after-an-empty-page/"
"""What the NextToken of an empty page begins with."""
_TOKENS = ("NextToken", "nextToken")


@dataclass
class _Bucket:
    """Calls that may still be made: one second's worth at most, refilled with time."""

    left: float
    seen: float


class Sky:
    """Answers in place of the services. Safe for many threads; its state lives as long as the application."""

    def __init__(self, context: Context, weather: Weather) -> None:
        self._context = replace(context, store=EventualStore(context.store.root, context.clock, weather))
        self._weather = weather
        self._clock = context.clock
        self._expiry: float | None = context.clock() + weather.token_life
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.Lock()

    def answer(self, service: Answer, request: Request) -> HTTPAnswer:
        """The service's own answer, as late, as short or as unwilling as AWS may give it.

        Raises:
            ServiceError: ThrottlingException, ExpiredToken, and whatever the service itself refuses.
        """
        self._refuse_expired(request)
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
        if operation.startswith("List"):
            self._refuse_hasty(operation)
        if operation.startswith("List") or operation == "FilterLogEvents":
            return self._paged(service, request, operation)
        return service(self._context, request)

    def _refuse_expired(self, request: Request) -> None:
        with self._lock:
            if self._expiry is None or self._clock() < self._expiry:
                return
            self._expiry = None  # once a life: from here on the caller has fresh credentials
        raise expired(request)

    def _refuse_hasty(self, operation: str) -> None:
        now, rate = self._clock(), self._weather.list_calls_per_second
        with self._lock:
            bucket = self._buckets.setdefault(operation, _Bucket(rate, now))
            bucket.left = min(rate, bucket.left + (now - bucket.seen) * rate)
            bucket.seen = now
            if bucket.left < 1:
                raise refused(OTHERS["throttled"])
            bucket.left -= 1

    def _paged(self, service: Answer, request: Request, operation: str) -> HTTPAnswer:
        body = request.document()
        document = _parsed(body)
        token = next((name for name in _TOKENS if name in document), "")
        resumed = str(document.get(token, "")).startswith(EMPTY_PAGE)
        if resumed:
            held = str(document.pop(token)).removeprefix(EMPTY_PAGE)
            body = json.dumps({**document, **({token: held} if held else {})}).encode()
        answer = service(self._context, replace(request, stream=io.BytesIO(body), length=len(body)))
        if resumed or not self._weather.begins_empty(operation, body):
            return answer
        return _emptied(answer, operation, str(document.get(token, "")))


def expired(request: Request) -> ServiceError:
    """The refusal of a request whose credentials have expired, in the words of its service.

    The status 403 of the query services is general knowledge.
    """
    if "x-amz-target" in request.headers or request.scope[1] == "sagemaker":
        return refused(OTHERS["expired"])
    if request.scope[1] == "s3":
        return refused(OTHERS["expired-s3"])
    wording = OTHERS["expired-query"]
    return ServiceError(wording.code, wording.message(), 403)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return {}  # the service says what is wrong with it
    return document if isinstance(document, dict) else {}


def _emptied(answer: HTTPAnswer, operation: str, token: str) -> HTTPAnswer:
    """The answer with nothing in its lists and a token that leads to it."""
    document = json.loads(answer.body) if isinstance(answer.body, bytes) and answer.body else {}
    emptied: dict[str, Any] = {name: [] for name, value in document.items() if isinstance(value, list)}
    name = "NextToken" if operation.startswith("List") else "nextToken"
    body = json.dumps({**emptied, name: EMPTY_PAGE + token}).encode()
    return replace(answer, body=body)
