"""Pipe mode: a channel's objects, one after another, through a named pipe for each epoch.

`<channel>_<epoch>` is there before the program starts for epoch 0, and for every further epoch as soon as the
one before was opened. What is read from it is all objects of the epoch, joined; who closes early gets no more
of that epoch. Nobody waits for a program that never opens a pipe.
"""

from __future__ import annotations

import errno
import gzip
import os
import select
import stat
import threading
import zlib
from collections.abc import Callable, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.staging import DownloadError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 16
_PAUSE = 0.02
_SINK = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

Open = Callable[[], IO[bytes]]


class Pipe:
    """One channel of one host. `objects` opens what belongs to an epoch, `packed` says that it is gzip.

    A program may put something else where its pipe is looked for: only a named pipe is written.
    """

    def __init__(
        self, folder: Path, channel: str, objects: Callable[[int], Iterable[Open]], *, packed: bool
    ) -> None:
        self._channel = channel
        self._objects = objects
        self._packed = packed
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pipe-{channel}", daemon=True)
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.failure = ""
        try:
            self._make(0)
        except OSError:
            os.close(self._folder)
            raise

    def start(self) -> None:
        """Begins to serve readers, on a thread of its own."""
        self._thread.start()

    def finish(self) -> None:
        """Ends the streaming, wherever it is."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def refuse_failed(self) -> None:
        """Raises a DownloadError where the channel could not be streamed."""
        if self.failure:
            raise DownloadError(f"channel {self._channel}: {self.failure}")

    def _run(self) -> None:
        epoch = 0
        try:
            while (sink := self._opened(epoch)) is not None:
                try:
                    self._make(epoch + 1, os.fstat(sink))
                    self._fill(sink, epoch)
                finally:
                    os.close(sink)
                with suppress(FileNotFoundError):
                    os.unlink(self._name(epoch), dir_fd=self._folder)
                epoch += 1
        except ServiceError as error:
            self.failure = f"{error.code}: {error.message}"
        except (OSError, EOFError, zlib.error) as error:
            self.failure = str(error) or type(error).__name__

    def _name(self, epoch: int) -> str:
        return f"{self._channel}_{epoch}"

    def _make(self, epoch: int, like: os.stat_result | None = None) -> None:
        """A named pipe; with `like` it belongs to the owner of that one, whom a container's user may be."""
        os.mkfifo(self._name(epoch), 0o600, dir_fd=self._folder)
        if like is not None and like.st_uid != os.geteuid():
            os.chown(self._name(epoch), like.st_uid, like.st_gid, dir_fd=self._folder, follow_symlinks=False)

    def _opened(self, epoch: int) -> int | None:
        """The pipe of an epoch once somebody reads it; None where the run is over before."""
        while not self._done.is_set():
            try:
                sink = os.open(self._name(epoch), _SINK, dir_fd=self._folder)
            except OSError as error:
                if error.errno != errno.ENXIO:  # the answer while nobody reads
                    raise
                self._done.wait(_PAUSE)
                continue
            if stat.S_ISFIFO(os.fstat(sink).st_mode):
                return sink
            os.close(sink)
            raise OSError(errno.EINVAL, f"{self._name(epoch)} is no named pipe any more")
        return None

    def _fill(self, sink: int, epoch: int) -> None:
        with suppress(BrokenPipeError):  # closed early: the rest of this epoch is not wanted
            for opens in self._objects(epoch):
                with self._plain(opens()) as source:
                    while data := source.read(_CHUNK):
                        self._write(sink, data)

    @contextmanager
    def _plain(self, stored: IO[bytes]) -> Iterator[IO[bytes]]:
        with stored:
            if not self._packed:
                yield stored
                return
            with gzip.GzipFile(fileobj=stored) as unpacked:
                yield cast("IO[bytes]", unpacked)

    def _write(self, sink: int, data: bytes) -> None:
        left = memoryview(data)
        while left:
            if self._done.is_set():
                raise BrokenPipeError
            try:
                left = left[os.write(sink, left) :]
            except BlockingIOError:
                select.select([], [sink], [], _PAUSE)
