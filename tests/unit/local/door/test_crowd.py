"""More connections than there is room, threads or files for: bounded, told where possible, never the end."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.local.door.server import HOST, Served, Server
from tests.unit.local.door.sockets import ask, dial, everything, port_of, until

GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LONG = GET.replace(b"/ ", b"/long ", 1)
Start = Callable[..., Any]


class House:
    """An application whose `/long` answers last until `enough`."""

    def __init__(self) -> None:
        self.enough = threading.Event()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"."
        if environ["PATH_INFO"] == "/long":
            assert self.enough.wait(10)


@contextmanager
def running(house: House, **options: Any) -> Iterator[Served]:
    """A server whose `run` must return without an error once it is stopped."""
    server = Server(house, **options)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(server.run)
        try:
            yield Served(server.url, Path(), {})
        finally:
            server.stop()
            house.enough.set()
            run.result(10)


def occupied(served: Served, count: int, stack: ExitStack) -> None:
    """Takes `count` places for as long as the house's streams last."""
    for _ in range(count):
        link = stack.enter_context(dial(served))
        link.sendall(LONG)
        until(link, b"1\r\n.\r\n")


def turned_away(served: Served, stack: ExitStack) -> bytes:
    """What a newcomer is told, who then stays; empty where it was closed without a word."""
    link = stack.enter_context(dial(served))
    try:
        link.sendall(GET)
        told = link.recv(1 << 16)
        while told and b"}" not in told:
            told += link.recv(1 << 16)
    except ConnectionError:
        return b""
    return told


def test_the_server_ends_without_an_error_while_a_connection_is_turned_away() -> None:
    with ExitStack() as stack, running(House(), most_connections=1) as served:
        occupied(served, 1, stack)
        assert turned_away(served, stack).startswith(b"HTTP/1.1 503")


def test_whoever_is_turned_away_makes_no_room_and_their_number_is_bounded() -> None:
    with ExitStack() as stack, running(House(), most_connections=2) as served:
        occupied(served, 2, stack)
        told = [turned_away(served, stack) for _ in range(4)]
    assert [json.loads(text.partition(b"\r\n\r\n")[2])["__type"] for text in told[:2]] == [
        "ServiceUnavailable"
    ] * 2
    assert told[2:] == [b"", b""]


def test_no_more_threads_serve_than_connections_are_allowed_however_many_come() -> None:
    begun: list[threading.Thread] = []
    most = 0

    def start(thread: threading.Thread) -> None:
        nonlocal most
        thread.start()
        begun.append(thread)
        most = max(most, sum(found.is_alive() for found in begun))

    with ExitStack() as stack, running(House(), most_connections=4, start=start) as served:
        links = [stack.enter_context(dial(served)) for _ in range(60)]
        assert everything(links[0]) == b""  # the idlest went first
        links[-1].sendall(GET)
        until(links[-1], b"0\r\n\r\n")
    assert len(begun) == 60
    assert most <= 4


def test_a_thread_that_cannot_be_started_closes_its_connection_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    left = [RuntimeError("can't start new thread")]

    def start(thread: threading.Thread) -> None:
        if left:
            raise left.pop()
        thread.start()

    with running(House(), most_connections=1, start=start) as served:
        with dial(served) as link:
            assert everything(link) == b""
        assert ask(served, "GET", "/")[1] == b"."
    assert "closed unanswered: can't start new thread" in caplog.text


def test_without_a_file_to_spare_the_server_waits_idly_and_then_goes_on() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running(House()) as served, socket.socket() as waiting:
        waiting.settimeout(10)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            waiting.connect((HOST, port_of(served)))
            before = time.process_time()
            time.sleep(0.3)
            spent = time.process_time() - before
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        waiting.sendall(GET)
        until(waiting, b"0\r\n\r\n")
    assert spent < 0.15
