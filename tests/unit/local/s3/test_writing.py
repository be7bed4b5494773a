"""The way of bytes into a file: in whole blocks, in turn with others, and to the disk while they come."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.local.protocol.request import Source
from ift_sagemaker.local.s3.files import BLOCK, blocks
from ift_sagemaker.local.s3.writing import WRITE_OUT, Writer, begin_write_out

Span = tuple[int, int, int]


class InPieces(io.BytesIO):
    """A stream that fills little of a buffer at a time."""

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto(memoryview(buffer)[:100_001])


class OnlyRead:
    """A stream as WSGI promises one, which fills no buffers."""

    def __init__(self, data: bytes) -> None:
        self.read = InPieces(data).read


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
@pytest.mark.parametrize("kind", [io.BytesIO, InPieces, OnlyRead])
def test_any_stream_comes_in_whole_blocks_and_the_rest(kind: type[Any], size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    source: Source = kind(data[:size])
    found = [bytes(block) for block in blocks(source)]
    assert [len(block) for block in found[:-1]] == [BLOCK] * (len(found) - 1)
    assert b"".join(found) == data[:size]
    assert b"" not in found


def test_blocks_of_one_stream_share_their_memory() -> None:
    stream = blocks(io.BytesIO(b"a" * BLOCK + b"b" * BLOCK))
    first = next(stream)
    assert bytes(first[:1]) == b"a"
    next(stream)
    assert bytes(first[:1]) == b"b"


def test_the_disk_is_given_every_byte_once_and_the_first_before_the_last_came(tmp_path: Path) -> None:
    given: list[Span] = []
    with (tmp_path / "file").open("xb", buffering=0) as sink:
        sink.seek(1000)
        writer = Writer(sink, begin=lambda *span: given.append(span))
        block = memoryview(bytes(WRITE_OUT // 4))
        for _ in range(5):
            writer.write(block)
        assert given == [(sink.fileno(), 1000, WRITE_OUT)]
        writer.begin_write_out()
        writer.begin_write_out()
        assert given[1:] == [(sink.fileno(), 1000 + WRITE_OUT, WRITE_OUT // 4)]


def test_to_have_the_disk_begin_changes_no_byte(tmp_path: Path) -> None:
    data = bytes(range(256)) * 64
    with (tmp_path / "file").open("xb", buffering=0) as sink:
        sink.write(data)
        begin_write_out(sink.fileno(), 0, len(data))
    assert (tmp_path / "file").read_bytes() == data


def test_short_writes_are_carried_on(tmp_path: Path) -> None:
    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data)[:3])

    with Slow(str(tmp_path / "file"), "xb") as sink:
        Writer(sink).write(memoryview(b"0123456789"))
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_one_writer_waits_for_its_turn_and_gives_it_back_also_after_a_failure(tmp_path: Path) -> None:
    turn, done = threading.Lock(), threading.Event()

    def write() -> None:
        with (tmp_path / "file").open("xb", buffering=0) as sink:
            Writer(sink, turn).write(memoryview(b"late"))
        done.set()

    with turn:
        thread = threading.Thread(target=write)
        thread.start()
        assert not done.wait(0.05)
    assert done.wait(5)
    thread.join()
    with (
        (tmp_path / "file").open("rb", buffering=0) as sink,
        pytest.raises(OSError, match="not open for writing"),
    ):
        Writer(sink, turn).write(memoryview(b"no"))
    assert not turn.locked()
