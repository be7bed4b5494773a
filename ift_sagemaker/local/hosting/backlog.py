"""The supervisor's side of asynchronous invocation: accepted requests are asked and their answers stored.

A request leaves the queue when its outcome is in S3, so one that was cut short is asked again.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import IO

from ift_sagemaker.local.hosting import document as endpoint_document
from ift_sagemaker.local.hosting import traffic
from ift_sagemaker.local.hosting.accepted import Accepted, AcceptedRequests
from ift_sagemaker.local.hosting.exchange import Content, Exchange, TooLarge
from ift_sagemaker.local.hosting.fleet import Fleet
from ift_sagemaker.local.logs.shipping import Events
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.resources import ENDPOINT, Document, split_s3
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.watch import TICK_IN_SECONDS

DELETED = "The endpoint was deleted before the request was answered."
DEFAULT_CONCURRENCY = 4
"""Where the configuration names none SageMaker chooses; what it chooses is not known."""
MAX_ATTEMPTS = 2
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before a request that could not be finished is asked again; they double each time."""
_JOIN_IN_SECONDS = 5.0
_MAX_TOLD = 4096


class _Failure(Exception):  # noqa: N818 - an outcome
    """The request has failed for good; the text goes to its failure path."""


class Backlog:
    """Works off the queue of one endpoint; `turn` is called by the supervisor again and again."""

    def __init__(
        self,
        context: Context,
        endpoint: Document,
        place: Workplace,
        ship: Callable[[Events], None],
    ) -> None:
        self._context, self._place, self._ship = context, place, ship
        self._queue = AcceptedRequests(context.store, endpoint)
        self._running: dict[int, threading.Thread] = {}
        self._put_off: dict[int, tuple[float, float]] = {}  # the last pause, and not before when
        self._next_look = 0.0
        self._closed = False

    def turn(self, fleet: Fleet) -> None:
        """Starts what can be started on a healthy asynchronous fleet."""
        self._running = {number: thread for number, thread in self._running.items() if thread.is_alive()}
        now = self._context.clock()
        if not fleet.async_config or now < self._next_look:
            return
        self._next_look = now + TICK_IN_SECONDS
        port = next(iter(fleet.ports.values()))
        free = _concurrency(fleet.async_config) - len(self._running)
        if port is None or free <= 0:
            return
        resting = {number for number, (_, earliest) in list(self._put_off.items()) if now < earliest}
        for one in self._queue.waiting(free, resting | self._running.keys()):
            passage = traffic.enter(traffic.gate(self._place.home, fleet.number))
            if passage is None:
                return
            thread = threading.Thread(target=self._work, args=(one, port, passage), daemon=True)
            self._running[one.id] = thread
            thread.start()

    def close(self) -> None:
        """The programs are about to end: what breaks from now on is no fault of a request."""
        self._closed = True

    def join(self) -> None:
        """Waits, not for long, until what was running has seen its program end."""
        for thread in self._running.values():
            thread.join(_JOIN_IN_SECONDS)

    def abandon(self, reason: str) -> bool:
        """Tells every request that is left that it has failed; nothing accepted goes without an outcome.

        False where the disk is too full to tell: then some are left.
        """
        while left := self._queue.waiting(100):
            for one in left:
                if not self._fail(one, reason):
                    return False
        return True

    def _work(self, one: Accepted, port: int, passage: traffic.Passage) -> None:
        is_done = False
        try:
            is_done = self._finish(one, port)
        finally:
            if is_done:
                self._put_off.pop(one.id, None)
            else:
                pause, _ = self._put_off.get(one.id, (FIRST_PAUSE / 2, 0.0))
                pause = min(2 * pause, LONGEST_PAUSE)
                self._put_off[one.id] = pause, self._context.clock() + pause
            passage.release()

    def _finish(self, one: Accepted, port: int) -> bool:
        try:
            self._answer(one, port)
        except _Failure as failure:
            return self._fail(one, str(failure))
        except Exception as error:  # noqa: BLE001 - a thread of its own: what broke is told, the request stays
            self._say(one, f"could not be finished and stays in the queue: {type(error).__name__}: {error}")
            return False
        return True

    def _answer(self, one: Accepted, port: int) -> None:
        if self._context.clock() - one.request.accepted > one.request.lifetime:
            raise _Failure(f"The request was not processed within {one.request.lifetime:g} seconds")
        content, size = self._input(one)
        self._place.outgoing.mkdir(parents=True, exist_ok=True)
        try:
            headers = {**one.request.headers, "Content-Length": str(size)}
            with tempfile.NamedTemporaryFile(dir=self._place.outgoing) as sink:
                status, content_type = self._ask(one, port, headers, content, sink.file)
                self._store(one, status, content_type, Path(sink.name))
        finally:
            if not isinstance(content, bytes):
                content.close()
        self._queue.done(one.id)

    def _input(self, one: Accepted) -> tuple[Content, int]:
        if not one.request.source:
            return one.body, len(one.body)
        try:
            found, content = self._context.objects.open(*split_s3(one.request.source))
        except ServiceError as error:
            raise _Failure(f"Could not read {one.request.source}: {error.code}: {error.message}") from error
        if found.size > self._context.settings.async_bytes:
            content.close()
            raise _Failure(
                f"The input has {found.size} bytes, allowed are at most {self._context.settings.async_bytes}"
            )
        return content, found.size

    def _ask(
        self, one: Accepted, port: int, headers: dict[str, str], content: Content, sink: IO[bytes]
    ) -> tuple[int, str]:
        limit = self._context.settings.async_bytes
        try:
            with Exchange(port, headers, content, one.request.timeout) as exchange:
                exchange.drain(sink.write, limit)
                sink.flush()
                return exchange.status, exchange.headers.get("content-type", "application/octet-stream")
        except TimeoutError:
            raise _Failure(
                "Your invocation timed out while waiting for a response from container primary"
                f" ({one.request.timeout:g} seconds)"
            ) from None
        except TooLarge:
            raise _Failure(f"The response of the container is larger than {limit} bytes") from None
        except ConnectionRefusedError:  # the request never reached a container
            raise
        except (OSError, HTTPException) as error:
            if not self._closed:
                self._queue.tried(one.id)
                if one.attempts + 1 >= MAX_ATTEMPTS:
                    raise _Failure(
                        f"The container closed the connection {MAX_ATTEMPTS} times: {type(error).__name__}"
                    ) from error
            raise

    def _store(self, one: Accepted, status: int, content_type: str, answer: Path) -> None:
        if status >= 400:
            with answer.open("rb") as text:
                shown = text.read(_MAX_TOLD).decode("utf-8", "replace")
            who = "client" if status < 500 else "server"
            raise _Failure(f'Received {who} error ({status}) from primary with message "{shown}".')
        try:
            with answer.open("rb") as body:
                self._context.objects.put(*split_s3(one.request.output), body, content_type=content_type)
        except ServiceError as error:
            if error.status == 507:
                raise
            raise _Failure(f"Could not write {one.request.output}: {error.code}: {error.message}") from error

    def _fail(self, one: Accepted, reason: str) -> bool:
        self._say(one, f"failed: {reason}")
        if one.request.failure:
            try:
                where = split_s3(one.request.failure)
                self._context.objects.put(*where, reason.encode(), content_type="text/plain")
            except ServiceError as error:
                self._say(one, f"has a failure path that cannot be written: {error.code}: {error.message}")
                if error.status == 507:  # space may come back
                    return False
        self._queue.done(one.id)
        return True

    def _say(self, one: Accepted, what: str) -> None:
        line = f"ift-local: asynchronous request {one.request.inference_id} {what}"
        self._ship([(int(self._context.clock() * 1000), line)])


def tell_all(context: Context, endpoint: Document, reason: str) -> None:
    """Tells all requests of an endpoint whose supervisor is dead that they have failed, and accepts no more.

    Raises:
        sqlite3.Error: the disk is full; to be called again.
    """
    name = endpoint["EndpointName"]
    group, stream = endpoint_document.log_group(name), endpoint["_fleet"]["variants"][0]["log_stream"]
    with suppress(KeyError):
        context.store.update(ENDPOINT, name, endpoint_document.closed)
    place = Workplace.of(context.store.root, ENDPOINT, name)
    ship = partial(context.store.append_log_events, group, stream)
    if not Backlog(context, endpoint, place, ship).abandon(reason):
        raise sqlite3.OperationalError("database or disk is full")


def _concurrency(config: Document) -> int:
    client = config.get("ClientConfig", {})
    return int(client.get("MaxConcurrentInvocationsPerInstance", DEFAULT_CONCURRENCY))
