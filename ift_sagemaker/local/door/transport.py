"""An ordinary boto3 session, answered inside this process: no socket, no `~/.aws`, no `AWS_*`.

botocore signs, parses, retries, waits and pages as ever; only the sending of a finished request is replaced,
by its own `before-send` event, with a call of the WSGI application.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import boto3
import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConstantProvider
from botocore.httpchecksum import AwsChunkedWrapper
from botocore.loaders import Loader

from ift_sagemaker.errors import UnsupportedError
from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import WSGIApplication, create_app
from ift_sagemaker.local.door.body import LINE_BYTES
from ift_sagemaker.local.s3.files import CHUNK
from ift_sagemaker.local.state.settings import ACCESS_KEY, SECRET_KEY, LocalSettings


def boto3_session(root: Path | str | None = None, region: str | None = None) -> boto3.Session:
    """A boto3 session on the local AWS at `root` (default: `IFT_LOCAL_ROOT`, else the user's data folder)."""
    settings = LocalSettings.from_environment(root=root, region=region)
    return session_on(create_app(create_context(settings)), settings.region)


def session_on(application: WSGIApplication, region: str) -> boto3.Session:
    """A boto3 session all of whose requests are answered by `application`."""
    session = _sealed_session()
    session.set_credentials(ACCESS_KEY, SECRET_KEY)
    session.set_config_variable("region", region)
    session.register("before-send", InProcess(application))
    return boto3.Session(botocore_session=session, region_name=region)


def _sealed_session() -> Any:
    """A botocore session that reads neither the environment nor any file of the user's."""
    defaults = {
        name: (None, None, default, conversion)
        for name, (_, _, default, conversion) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    defaults["config_file"] = defaults["credentials_file"] = (None, None, os.devnull, None)
    defaults["ignore_configured_endpoint_urls"] = (None, None, True, None)
    session = botocore.session.Session(session_vars=defaults)
    session.register_component("data_loader", _loader())
    store = session.get_component("config_store")
    for section in ("s3", "proxies_config"):
        store.set_config_provider(section, ConstantProvider(None))
    return session


@lru_cache(maxsize=1)
def _loader() -> Any:
    """The service models that come with botocore, read once for all; `~/.aws/models` is not looked at."""
    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


class InProcess:
    """The `before-send` handler: a prepared botocore request in, a botocore response out."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        answer = _Answer()
        body = self._application(environment(request), answer.start)
        raw = AnswerBody(body)
        if not answer.status:  # PEP 3333: it may start with the first bytes of the body
            raw.fill()
        return AWSResponse(request.url, answer.status, answer.headers, raw)


class _Answer:
    """What `start_response` was told."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}

    def start(self, status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], None]:
        self.status = int(status.partition(" ")[0])
        self.headers = dict(headers)
        return _refuse_write


def _refuse_write(_: bytes) -> None:
    raise UnsupportedError("WSGI's write() is not offered; return the body", feature="WSGI write()")


class AnswerBody(io.RawIOBase):
    """A WSGI answer's body as botocore reads one (urllib3's response): flat memory, closed at its end."""

    def __init__(self, body: Iterable[bytes]) -> None:
        super().__init__()
        self._body = body
        self._direct = getattr(body, "read", None)
        self._blocks = None if self._direct else iter(body)
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def fill(self) -> None:
        """Fetches the next block where none is at hand."""
        while not self._ready and self._blocks is not None:
            block = next(self._blocks, None)
            if block is None:
                self._blocks = None
            else:
                self._ready = memoryview(block)

    def read(self, amt: int | None = -1, **_: Any) -> bytes:
        if self.closed:
            return b""
        if amt is None or amt < 0:
            return b"".join(self.stream())
        data = self._direct(amt) if self._direct else self._next(amt)
        if amt and not data:
            self.close()
        return bytes(data)

    def _next(self, amt: int) -> memoryview:
        self.fill()
        data, self._ready = self._ready[:amt], self._ready[amt:]
        return data

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def stream(self, amt: int = CHUNK, **_: Any) -> Iterator[bytes]:
        """The rest of the body in blocks of at most `amt` bytes."""
        while data := self.read(amt):
            yield data

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None and not self.closed:
            close()
        super().close()


def environment(request: Any) -> dict[str, Any]:
    """The WSGI environment (PEP 3333) of a prepared botocore request."""
    url = urlsplit(request.url)
    stream = _body_stream(request.body)
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(url.path).decode("latin-1"),
        "QUERY_STRING": url.query,
        "SERVER_NAME": url.hostname or "",
        "SERVER_PORT": str(url.port or (443 if url.scheme == "https" else 80)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": url.netloc,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": stream,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    return environ | _header_variables(request.headers)


def _header_variables(headers: Mapping[str, Any]) -> dict[str, str]:
    texts = {name.upper().replace("-", "_"): _text(value) for name, value in headers.items()}
    plain = ("CONTENT_TYPE", "CONTENT_LENGTH")
    return {name if name in plain else f"HTTP_{name}": value for name, value in texts.items()}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _body_stream(body: Any) -> Any:
    """`body` as a stream with `read` and `readline`; nothing is read yet."""
    if body is None:
        return io.BytesIO()
    if isinstance(body, str):
        return io.BytesIO(body.encode())
    if isinstance(body, (bytes, bytearray, memoryview)):
        return io.BytesIO(body)
    blocks = iter(body) if isinstance(body, AwsChunkedWrapper) or not hasattr(body, "read") else _blocks(body)
    return io.BufferedReader(_Pulled(blocks), LINE_BYTES)


def _blocks(file: Any) -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data.encode() if isinstance(data, str) else data


class _Pulled(io.RawIOBase):
    """An iterator of blocks as a raw stream; closing it leaves what the blocks come from open."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        super().__init__()
        self._blocks = blocks
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._ready = memoryview(block)
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size
