"""The local AWS over HTTP: on 127.0.0.1 and nowhere else, one thread a connection."""

from __future__ import annotations

import errno
import logging
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ift_sagemaker.errors import ConfigError
from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import WSGIApplication, create_app
from ift_sagemaker.local.door.connection import Connection, Limits
from ift_sagemaker.local.door.register import registered
from ift_sagemaker.local.door.visitors import only_programs
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.settings import ACCESS_KEY, SECRET_KEY, LocalSettings

HOST = "127.0.0.1"
DEFAULT_PORT = 4620
GRACE_IN_SECONDS = 5.0
_MOST_CONNECTIONS = 256
_ROOM_IN_SECONDS = 0.5
_PAUSE_IN_SECONDS = 0.1
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LOG = logging.getLogger(__name__)


class Server:
    """Listens from its making on; `run` answers until `stop` is called, from whichever thread.

    At most `most_connections` are served, and as many again are told that there is no room; whoever comes
    beyond that is closed without a word. `start` starts a connection's thread.

    Raises on construction:
        ConfigError: the port is taken, or not for this user.
    """

    def __init__(
        self,
        application: WSGIApplication,
        port: int = 0,
        limits: Limits | None = None,
        most_connections: int = _MOST_CONNECTIONS,
        start: Callable[[threading.Thread], None] = threading.Thread.start,
    ) -> None:
        self._application = application
        self._limits = limits or Limits()
        self._most = most_connections
        self._start = start
        self._listener = _listen(port)
        self._wake, self._waker = socket.socketpair()
        self._lock = threading.Lock()
        self._open: dict[Connection, threading.Thread] = {}
        self._refused: dict[Connection, threading.Thread] = {}
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def run(self) -> None:
        """Answers until `stop`; then the requests under way get `GRACE_IN_SECONDS` to end."""
        try:
            while self._wake not in select.select([self._listener, self._wake], [], [])[0]:
                self._accept()
        finally:
            self._listener.close()
            self._end_connections()
            self._wake.close()
            self._waker.close()

    def stop(self) -> None:
        """Has `run` return soon; may be called in a signal handler, and more than once."""
        with suppress(OSError):
            self._waker.send(b".")

    def _accept(self) -> None:
        try:
            link = self._listener.accept()[0]
        except OSError as error:  # else: a client that went before it was let in
            if error.errno in _OUT_OF_RESOURCES:
                # the client stays in the queue, so the listener stays ready: without a pause this would spin
                _LOG.warning("no connection can be taken for now: %s", error)
                select.select([self._wake], [], [], _PAUSE_IN_SECONDS)
            return
        self._admit(link)

    def _admit(self, link: socket.socket) -> None:
        connection = Connection(link, self._application, (HOST, self.port), self._limits)
        target, among = (self._serve, self._open) if self._has_room() else (self._turn_away, self._refused)
        thread = threading.Thread(target=target, args=(connection,), name="local-aws", daemon=True)
        with self._lock:
            if len(among) >= self._most:
                link.close()
                return
            among[connection] = thread
        try:
            self._start(thread)
        except RuntimeError as error:  # no more threads for this user
            _LOG.warning("a connection is closed unanswered: %s", error)
            self._forget(connection)
            link.close()

    def _has_room(self) -> bool:
        """Whether one more may be served; where all places are taken, the idlest is sent away for it."""
        with self._lock:
            if len(self._open) < self._most:
                return True
            idle = [found for found in self._open if found.is_idle]
            if not idle:
                return False
            idlest = min(idle, key=lambda found: found.idle_since or 0.0)
            thread = self._open[idlest]
        idlest.retire()
        thread.join(_ROOM_IN_SECONDS)
        with self._lock:
            return len(self._open) < self._most

    def _serve(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            self._forget(connection)

    def _turn_away(self, connection: Connection) -> None:
        message = f"All {self._most} connections of the local AWS are busy; ask again"
        try:
            connection.refuse(ServiceError("ServiceUnavailable", message, 503))
        finally:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            self._open.pop(connection, None)
            self._refused.pop(connection, None)

    def _end_connections(self) -> None:
        deadline = time.monotonic() + GRACE_IN_SECONDS
        with self._lock:
            left = {**self._open, **self._refused}
        for connection in left:
            connection.retire()
        for connection, thread in left.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                connection.cut()


@dataclass(frozen=True)
class Served:
    """A local AWS that answers over HTTP. `environment` is what an unmodified client needs to find it."""

    url: str
    root: Path
    environment: Mapping[str, str]


@contextmanager
def serve(
    settings: LocalSettings,
    port: int = 0,
    clock: Callable[[], float] = time.time,
    limits: Limits | None = None,
) -> Iterator[Served]:
    """The local AWS of `settings` over HTTP while inside; `port` 0 is any free one.

    Jobs and endpoints go on when it ends.

    Raises:
        ConfigError: the port is taken, or not for this user; the state is damaged.
        StorageError: the root cannot be written.
    """
    with _listening(settings, port, clock, limits) as (server, served):
        thread = threading.Thread(target=server.run, name="local-aws-door", daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.stop()
            thread.join()


def serve_alone(settings: LocalSettings, port: int, tell: Callable[[Served], None]) -> None:
    """The local AWS over HTTP as all that this process does, until SIGINT or SIGTERM; to be called by its
    main thread. `tell` is called once it listens.

    Raises as `serve` does.
    """
    with _listening(settings, port, alone=True) as (server, served):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.stop())
        tell(served)
        server.run()


@contextmanager
def _listening(
    settings: LocalSettings,
    port: int,
    clock: Callable[[], float] = time.time,
    limits: Limits | None = None,
    *,
    alone: bool = False,
) -> Iterator[tuple[Server, Served]]:
    """A server that listens and stands in the root's register, and is yet to be run."""
    context = create_context(settings, clock)
    try:
        server = Server(only_programs(create_app(context)), port, limits)
        with registered(settings.root, server.url, alone=alone):
            yield server, Served(server.url, settings.root, client_environment(server.url, settings.region))
    finally:
        context.store.close()


def client_environment(url: str, region: str) -> dict[str, str]:
    """The environment in which boto3, the AWS CLI and whatever is built on them call `url`.

    They name buckets in the path of such an address, not in its host, so nothing is to be set for S3.
    """
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is in use" if error.errno == errno.EADDRINUSE else "is not for this user"
        raise ConfigError(
            f"port {port} {why}: name another with --port, or 0 for any free one",
            field="--port",
            value=port,
        ) from error
