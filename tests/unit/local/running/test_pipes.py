"""Pipe mode: named pipes, an epoch each."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.pipes import Pipe
from ift_sagemaker.local.running.staging import DownloadError
from tests.unit.local.machine import Settle

Epochs = Callable[[int], Iterable[Callable[[], IO[bytes]]]]


@contextmanager
def streaming(folder: Path, objects: Epochs, *, packed: bool = False) -> Iterator[Pipe]:
    pipe = Pipe(folder, "rows", objects, packed=packed)
    try:
        pipe.start()
        yield pipe
    finally:
        pipe.finish()


def of(*contents: bytes) -> Epochs:
    return lambda _: [lambda content=content: io.BytesIO(content) for content in contents]  # type: ignore[misc]


def test_every_epoch_is_all_objects_joined_through_a_pipe_of_its_own(tmp_path: Path) -> None:
    def objects(epoch: int) -> Iterable[Callable[[], IO[bytes]]]:
        return of(b"a" * 100_000, f"epoch {epoch}".encode())(epoch)

    with streaming(tmp_path, objects):
        assert [path.name for path in tmp_path.iterdir()] == ["rows_0"]
        for epoch in range(3):
            content = (tmp_path / f"rows_{epoch}").read_bytes()
            assert content == b"a" * 100_000 + f"epoch {epoch}".encode()


def test_the_pipe_of_the_next_epoch_is_there_once_the_one_before_is_open(tmp_path: Path) -> None:
    with streaming(tmp_path, of(b"x" * 500_000)), (tmp_path / "rows_0").open("rb") as reader:
        assert reader.read(1) == b"x"
        assert Settle(3).until((tmp_path / "rows_1").exists)
        assert not (tmp_path / "rows_2").exists()


def test_who_closes_early_gets_the_next_epoch_from_its_start(tmp_path: Path) -> None:
    with streaming(tmp_path, of(b"start", b"x" * 500_000)):
        with (tmp_path / "rows_0").open("rb") as reader:
            assert reader.read(5) == b"start"
        assert Settle(3).until((tmp_path / "rows_1").exists)
        with (tmp_path / "rows_1").open("rb") as reader:
            assert reader.read(5) == b"start"


def test_nobody_waits_for_a_reader_that_never_comes_or_never_reads_on(tmp_path: Path) -> None:
    with streaming(tmp_path, of(b"x")):
        pass
    (tmp_path / "rows_0").unlink()
    descriptor = -1
    try:
        with streaming(tmp_path, of(b"x" * 500_000)):
            descriptor = os.open(tmp_path / "rows_0", os.O_RDONLY)
            assert os.read(descriptor, 1) == b"x"
    finally:
        os.close(descriptor)


def test_packed_objects_come_unpacked(tmp_path: Path) -> None:
    with streaming(tmp_path, of(gzip.compress(b"one "), gzip.compress(b"two")), packed=True):
        assert (tmp_path / "rows_0").read_bytes() == b"one two"


@pytest.mark.parametrize(
    ("objects", "words"),
    [(of(b"no gzip"), "gzip"), (of(gzip.compress(b"x" * 1000)[:-9]), "ended before")],
)
def test_a_stream_that_cannot_be_unpacked_is_told(tmp_path: Path, objects: Epochs, words: str) -> None:
    with streaming(tmp_path, objects, packed=True) as pipe:
        (tmp_path / "rows_0").read_bytes()
        assert Settle(3).until(lambda: pipe.failure)
        with pytest.raises(DownloadError, match=f"channel rows: .*{words}"):
            pipe.refuse_failed()


def test_an_object_that_is_gone_is_told(tmp_path: Path) -> None:
    def gone() -> IO[bytes]:
        raise ServiceError("NoSuchKey", "The specified key does not exist.")

    with streaming(tmp_path, lambda _: [gone]) as pipe:
        (tmp_path / "rows_0").read_bytes()
        assert Settle(3).until(lambda: pipe.failure)
        assert pipe.failure == "NoSuchKey: The specified key does not exist."


@pytest.mark.parametrize("planted", ["link", "file"])
def test_nothing_but_a_pipe_is_ever_written(tmp_path: Path, planted: str) -> None:
    (tmp_path / "ml").mkdir()
    (tmp_path / "precious").write_text("precious")
    pipe = Pipe(tmp_path / "ml", "rows", of(b"overwritten"), packed=False)
    (tmp_path / "ml" / "rows_0").unlink()
    if planted == "link":
        (tmp_path / "ml" / "rows_0").symlink_to(tmp_path / "precious")
    else:
        (tmp_path / "ml" / "rows_0").hardlink_to(tmp_path / "precious")
    pipe.start()
    assert Settle(3).until(lambda: pipe.failure)
    pipe.finish()
    assert (tmp_path / "precious").read_text() == "precious"
