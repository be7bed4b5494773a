"""Rows as they came, out again as JSON lines: plain, gzip or zstd, as the destination's name says."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import orjson

from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.errors import ConfigError, UnsupportedError

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_BUFFER = 1 << 20


class NotJSONError(Exception):
    """A row holds what JSON cannot: bytes, a decimal, NaN (from Parquet)."""


def encode_source(row: Row) -> bytes:
    """One line with the row's own keys in their order; raises NotJSONError.

    Numbers beyond 64 bits and halves of surrogate pairs, which orjson refuses, go the slow way and stay.
    """
    try:
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return _slowly(row)
    if b"null" in line and _holds_nan(row):  # orjson writes NaN as null
        raise NotJSONError("holds NaN or infinity, which JSON has not")
    return line


def _slowly(row: Row) -> bytes:
    try:
        return json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise NotJSONError(f"holds what JSON has not: {error}") from error


def _holds_nan(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_nan(item) for item in value.values())
    if isinstance(value, list):
        return any(_holds_nan(item) for item in value)
    return isinstance(value, float) and not math.isfinite(value)


def compression_of(destination: Path) -> str:
    """`""`, `.gz` or `.zst`; raises ConfigError for a name that says no JSON lines."""
    name = destination.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix) and name != suffix:
            return suffix.removeprefix(".jsonl")
    raise ConfigError(
        f"{destination}: rows go out as JSON lines; let the name end in {', '.join(SUFFIXES)}",
        field="destination",
        value=str(destination),
        allowed=", ".join(SUFFIXES),
    )


@contextmanager
def lines_to(path: Path, compression: str) -> Iterator[Callable[[bytes], object]]:
    """A function that writes one line to `path`."""
    with path.open("wb", buffering=_BUFFER) as file:
        match compression:
            case ".gz":
                # no time and no name in the header: equal rows are equal bytes
                with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as zipped:
                    yield zipped.write
            case ".zst":
                with _zstd(file) as zipped_file:
                    yield zipped_file.write
            case _:
                yield file.write


def _zstd(file: IO[bytes]) -> IO[bytes]:
    try:
        import zstandard
    except ImportError:
        raise UnsupportedError(
            "a .zst file needs the package zstandard: pip install 'ift-sagemaker[data]'", feature="zstd"
        ) from None
    return cast("IO[bytes]", zstandard.ZstdCompressor().stream_writer(file, closefd=False))
