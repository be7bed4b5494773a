"""One HTTP/1.1 connection answered by a WSGI application: h11 keeps the protocol, this moves the bytes.

A request's body is read from the socket as the application asks for it, past h11 where its length is known;
an answer's pieces are sent as they are made. Nothing is held whole.
"""

from __future__ import annotations

import io
import logging
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import h11

from ift_sagemaker.local.door.app import WSGIApplication
from ift_sagemaker.local.door.body import LINE_BYTES, RequestBody, is_contradictory, known_length
from ift_sagemaker.local.protocol.errors import ServiceError, json_error

_LOG = logging.getLogger(__name__)
_RECEIVED = 1 << 18
_RECEIVED_OF_HEAD = 1 << 14
_JOINED = 1 << 16
_DROPPED = 1 << 16
_PLAIN = ("content-type", "content-length")
_LINGER_SECONDS = 2.0


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes that one connection may take.

    `idle`: between two requests; `head`: from the first byte of a request's head to its last; `stalled`:
    without a byte of a body taken or given; `drained`: for reading what is left of a body that nobody wants.
    """

    idle: float = 60.0
    head: float = 15.0
    stalled: float = 60.0
    drained: float = 20.0
    head_bytes: int = 64 << 10


class _ClientGoneError(ConnectionError):
    """The link failed, as opposed to what the application reads its answer from."""


class Connection:
    """A connection over `link`, which it closes at its end. `address` is the server's own."""

    def __init__(
        self,
        link: socket.socket,
        application: WSGIApplication,
        address: tuple[str, int],
        limits: Limits,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._application = application
        self._address = address
        self._limits = limits
        self._monotonic = monotonic
        self._machine = self._new_machine()
        self._body = RequestBody(self._next_of_body, self._receive_into, 0)
        self._patience = limits.stalled
        self._retired = False
        self._last = False
        self.idle_since: float | None = monotonic()

    def run(self) -> None:
        """Answers request after request until either side is done."""
        try:
            self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (request := self._next_request()) is not None:
                self._answer(request)
                if not self._is_open():
                    self._linger()
                    break
        except OSError as error:
            _LOG.debug("a client is gone: %r", error)
        finally:
            self._link.close()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for its client, and was not told to end yet."""
        return self.idle_since is not None and not self._retired

    def retire(self) -> None:
        """Ends the connection: at once where it is idle, else with the answer that is under way."""
        self._retired = True
        if self.idle_since is not None:
            self.cut()

    def cut(self) -> None:
        """Ends the connection at once."""
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def refuse(self, error: ServiceError) -> None:
        """Answers whatever comes with `error`, and ends the connection."""
        answer = json_error(error, str(uuid.uuid4()))
        body = answer.body if isinstance(answer.body, bytes) else b""
        headers = [*answer.headers.items(), ("Content-Length", str(len(body))), ("Connection", "close")]
        with suppress(OSError, h11.LocalProtocolError):
            self._link.settimeout(self._limits.stalled)
            self._send_head(f"{error.status} ", headers)
            self._send(h11.Data(data=body))
            self._send(h11.EndOfMessage())
            self._linger()
        self._link.close()

    def _new_machine(self) -> h11.Connection:
        return h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)

    def _next_request(self) -> h11.Request | None:
        """The next request's head; None where none came in time, or none that is HTTP."""
        self.idle_since = now = self._monotonic()
        deadline, begun = now + self._limits.idle, False
        while not self._retired:
            try:
                event = self._machine.next_event()
            except h11.RemoteProtocolError as error:
                self.refuse(_malformed(error))
                return None
            if event is h11.NEED_DATA:
                if not begun and self._machine.trailing_data[0]:
                    begun, deadline = True, self._monotonic() + self._limits.head
                if not self._receive(deadline, _RECEIVED_OF_HEAD):
                    return None
            elif isinstance(event, h11.Request):
                self.idle_since = None
                if is_contradictory(event):
                    self.refuse(_two_lengths())
                    return None
                return event
            else:
                return None
        return None

    def _receive(self, deadline: float, size: int = _RECEIVED) -> bool:
        """Whether something came before the deadline: bytes, or the end of the stream."""
        left = deadline - self._monotonic()
        if left <= 0:
            return False
        self._link.settimeout(left)
        try:
            self._machine.receive_data(self._link.recv(size))
        except TimeoutError:
            return False
        except OSError as error:
            raise _ClientGoneError(error) from error
        return True

    def _next_of_body(self) -> bytes | None:
        """The next bytes of the request's body, empty at its end; None where it is to go past the machine.

        Raises:
            ServiceError: the client closed before the end, sent no valid chunks, or nothing for too long.
        """
        if self._machine.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
        while True:
            try:
                event = self._machine.next_event()
            except h11.RemoteProtocolError as error:
                self._last = True
                raise _cut_short(str(error)) from error
            if event is h11.NEED_DATA:
                if self._body.is_of_known_length:
                    return None
                if not self._receive(self._monotonic() + self._patience):
                    self._last = True
                    raise _timed_out()
            elif isinstance(event, h11.Data):
                return event.data
            else:
                return b""

    def _receive_into(self, buffer: memoryview) -> int:
        """How many bytes came into `buffer`, at least one.

        Raises:
            ServiceError: the client closed, or sent nothing for too long.
        """
        if self._link.gettimeout() != self._patience:  # to set it costs a call of the system
            self._link.settimeout(self._patience)
        try:
            got = self._link.recv_into(buffer)
        except TimeoutError:
            self._last = True
            raise _timed_out() from None
        except OSError as error:
            raise _ClientGoneError(error) from error
        if not got:
            self._last = True
            raise _cut_short("the client closed before its end")
        return got

    def _answer(self, request: h11.Request) -> None:
        self._body = RequestBody(self._next_of_body, self._receive_into, known_length(request))
        self._patience = self._limits.stalled
        body = io.BufferedReader(self._body, LINE_BYTES)
        told: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], None]:
            told[:] = [(status, headers)]
            return self._refuse_write

        blocks: Iterable[bytes] = ()
        try:
            blocks = self._application(environment(request, body, self._address), start)
            for block in blocks:
                if told and block:
                    self._send_head(*told.pop())
                if block:
                    self._send(h11.Data(data=block))
            if told:
                self._send_head(*told.pop())
            self._send(h11.EndOfMessage())
        except _ClientGoneError:
            raise
        except Exception:  # noqa: BLE001 - half an answer is out; all that can be said is that it ends here
            _LOG.warning("%s %s broke off", request.method, request.target, exc_info=True)
            self._machine.send_failed()
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()

    def _refuse_write(self, _: bytes) -> None:
        raise ServiceError("InternalFailure", "WSGI's write() is not offered; return the body", 500)

    def _send_head(self, status: str, headers: list[tuple[str, str]]) -> None:
        code, _, reason = status.partition(" ")
        sent = [(_encoded(name), _encoded(value)) for name, value in headers]
        # a body that was never asked for may come or not: nothing after it can be understood
        self._last = self._last or self._retired or self._machine.they_are_waiting_for_100_continue
        if self._last:
            sent.append((b"Connection", b"close"))
        self._send(h11.Response(status_code=int(code), headers=sent, reason=_encoded(reason)))

    def _send(self, event: Any) -> None:
        pieces = self._machine.send_with_data_passthrough(event)
        if not pieces:
            return
        self._link.settimeout(self._limits.stalled)
        if sum(map(len, pieces)) <= _JOINED:
            pieces = [b"".join(pieces)]
        try:
            for piece in pieces:
                self._link.sendall(piece)
        except OSError as error:
            raise _ClientGoneError(error) from error

    def _is_open(self) -> bool:
        """Whether another request may follow; what is left of this one's body is read and dropped."""
        if self._last or self._machine.our_state is h11.ERROR or not self._drop_rest():
            return False
        if self._machine.our_state is not h11.DONE:
            return False
        if self._body.went_past:  # the machine waits for what it will not see, and holds nothing that follows
            self._machine = self._new_machine()
        else:
            self._machine.start_next_cycle()
        return True

    def _drop_rest(self) -> bool:
        """Whether the request's body came to its end in time."""
        deadline = self._monotonic() + self._limits.drained
        dropped = memoryview(bytearray(_DROPPED))
        with suppress(ServiceError):
            while (left := deadline - self._monotonic()) > 0:
                self._patience = left
                if not self._body.readinto(dropped):
                    return True
        return False

    def _linger(self) -> None:
        """Says goodbye and lets the client read: closing over unread bytes would take the answer from it."""
        self._link.shutdown(socket.SHUT_WR)
        self.idle_since = self._monotonic()
        deadline = self.idle_since + _LINGER_SECONDS
        with suppress(TimeoutError):
            while not self._retired and (left := deadline - self._monotonic()) > 0:
                self._link.settimeout(left)
                if not self._link.recv(_RECEIVED):
                    return


def environment(request: h11.Request, body: Any, address: tuple[str, int]) -> dict[str, Any]:
    """The WSGI environment (PEP 3333) of a request."""
    path, _, query = _origin_form(request.target).partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method.decode("ascii"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": address[0],
        "SERVER_PORT": str(address[1]),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version.decode('ascii')}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in request.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        variable = name.upper().replace("-", "_")
        variable = variable if name in _PLAIN else f"HTTP_{variable}"
        environ[variable] = f"{environ[variable]},{value}" if variable in environ else value
    return environ


def _origin_form(target: bytes) -> bytes:
    """`/path?query` of a target that may be a whole address, as clients send it to a proxy."""
    scheme, separator, rest = target.partition(b"://")
    if scheme.lower() in (b"http", b"https") and separator:
        _, slash, path = rest.partition(b"/")
        return slash + path
    return target


def _encoded(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _malformed(error: h11.RemoteProtocolError) -> ServiceError:
    code = "RequestHeaderSectionTooLarge" if error.error_status_hint == 431 else "BadRequest"
    return ServiceError(code, f"This is no HTTP/1.1 request: {error}", error.error_status_hint)


def _two_lengths() -> ServiceError:
    return ServiceError(
        "BadRequest", "This is no HTTP/1.1 request: it has both Content-Length and Transfer-Encoding", 400
    )


def _cut_short(why: str) -> ServiceError:
    return ServiceError("IncompleteBody", f"The request's body was cut short: {why}")


def _timed_out() -> ServiceError:
    """S3's wording, as its error code list has it."""
    message = (
        "Your socket connection to the server was not read from or written to within the timeout period."
    )
    return ServiceError("RequestTimeout", message)
