"""Where rows lie: files of this machine or objects of a storage, opened the same way, compressed or not."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, cast

from ift_sagemaker.errors import ConfigError, UnsupportedError

MAX_RATIO = 500
"""Bytes that one compressed byte may become, once there are more than 64 MiB."""
REMOTE = "s3://"
_FREE_BYTES = 64 << 20
_BUFFER = 1 << 20
_ZSTD_PIECE = 256  # four bytes may become 128 KiB


class Storage(Protocol):
    """Objects under addresses, such as S3's; `ift_sagemaker.aws` has the one for it."""

    def files(self, address: str) -> Sequence[str] | None:
        """Addresses directly below a prefix, in the order of names; None where the address is an object."""
        ...

    def open(self, address: str) -> IO[bytes]:
        """The object's bytes as a stream that can seek; they come as they are read."""
        ...


@dataclass(frozen=True)
class Stored:
    """Rows at an address of a storage, such as `s3://bucket/prefix`. `Session.at` makes one."""

    address: str
    storage: Storage

    def __str__(self) -> str:
        return self.address


Source = str | PathLike[str] | Stored


@dataclass(frozen=True)
class SourceFile:
    """One file: `address` as it is shown, `open` for its bytes as they are kept."""

    address: str
    open: Callable[[], IO[bytes]]

    @property
    def name(self) -> str:
        return PurePosixPath(self.address).name

    @property
    def container(self) -> str:
        """The suffix that tells the container, that of the compression left out."""
        suffixes = [suffix.lower() for suffix in PurePosixPath(self.address).suffixes]
        if suffixes and suffixes[-1] in _OPENERS:
            suffixes.pop()
        return suffixes[-1] if suffixes else ""


def found_at(source: Source) -> tuple[SourceFile | None, list[SourceFile]]:
    """(the file, nothing) where `source` is one; (None, the files directly in it) where it is a folder.

    Raises ConfigError for an address of S3 without the storage that can read it.
    """
    if isinstance(source, Stored):
        return _found_in_storage(source)
    if str(source).startswith(REMOTE):
        raise ConfigError(
            f"{source} is read through a session: ift.connect().read({str(source)!r})",
            field="source",
            value=str(source),
        )
    path = Path(source)
    if not path.is_dir():
        return _local(path), []
    return None, [_local(file) for file in sorted(path.iterdir()) if file.is_file()]


def open_address(address: str, source: Source) -> IO[bytes]:
    """The bytes behind an address that a row of `source` names."""
    if isinstance(source, Stored):
        return source.storage.open(address)
    return Path(address).open("rb")


def _found_in_storage(source: Stored) -> tuple[SourceFile | None, list[SourceFile]]:
    below = source.storage.files(source.address)
    files = [_remote(source.storage, address) for address in below or ()]
    return (_remote(source.storage, source.address), []) if below is None else (None, files)


def _local(path: Path) -> SourceFile:
    return SourceFile(str(path), lambda: path.open("rb", buffering=_BUFFER))


def _remote(storage: Storage, address: str) -> SourceFile:
    return SourceFile(address, lambda: storage.open(address))


class CompressionError(Exception):
    """A compressed file is damaged, or far more comes out of it than any text would give."""


class _Counted(io.RawIOBase):
    """Reads `inner`, as long as what comes out stays within the ratio of what went in."""

    def __init__(self, inner: IO[bytes], compressed: IO[bytes], errors: tuple[type[Exception], ...]) -> None:
        self._inner, self._compressed, self._count = inner, compressed, 0
        self._errors = errors

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._inner.read(len(buffer))
        except self._errors as error:
            raise CompressionError(str(error) or "its end is missing") from error
        self._count += len(data)
        if self._count > _FREE_BYTES and self._count > MAX_RATIO * max(1, self._compressed.tell()):
            raise CompressionError(f"it grows beyond {MAX_RATIO} times its size")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def opened(source: SourceFile) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed. Reading raises CompressionError where they cannot be."""
    with source.open() as file:
        opener = _OPENERS.get(PurePosixPath(source.address).suffix.lower())
        if opener is None:
            yield file
            return
        inner, errors = opener(file)
        with inner, io.BufferedReader(_Counted(inner, file, errors), _BUFFER) as counted:
            yield cast("IO[bytes]", counted)


_Opened = tuple[IO[bytes], tuple[type[Exception], ...]]


def _gunzip(file: IO[bytes]) -> _Opened:
    unzipped = cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    return unzipped, (EOFError, zlib.error, gzip.BadGzipFile)


def _unzstd(file: IO[bytes]) -> _Opened:
    try:
        import zstandard
    except ImportError:
        raise UnsupportedError(
            "a .zst file needs the package zstandard: pip install 'ift-sagemaker[data]'", feature="zstd"
        ) from None
    frames = _Frames(file, zstandard.ZstdDecompressor().decompressobj)
    return cast("IO[bytes]", frames), (EOFError, zstandard.ZstdError)


class _Frames(io.RawIOBase):
    """The frames of a zstd file one after the other; reading raises EOFError where the last one has no end.

    The package's own reader tells no end from a lack of bytes.
    """

    def __init__(self, file: IO[bytes], begin: Callable[[], Any]) -> None:
        self._file, self._begin = file, begin
        self._frame: Any = None
        self._left = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            piece = self._left or self._file.read(_ZSTD_PIECE)
            if not piece:
                if self._frame is not None:
                    raise EOFError
                return 0
            self._frame = self._frame or self._begin()
            self._ready, self._left = memoryview(self._frame.decompress(piece)), b""
            if self._frame.eof:
                self._left, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


_OPENERS: dict[str, Callable[[IO[bytes]], _Opened]] = {".gz": _gunzip, ".zst": _unzstd}
