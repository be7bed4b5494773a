"""The object store: what is stored is whole, what a crash leaves is swept, what was linked stays."""

from __future__ import annotations

import errno
import hashlib
import io
import multiprocessing
import os
import signal
import sqlite3
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

import pytest

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.s3.objects import SWEEP_INTERVAL_IN_SECONDS, ObjectStore
from ift_sagemaker.local.s3.records import Attributes, Precondition
from ift_sagemaker.local.s3.uploads import Incoming, Uploads
from ift_sagemaker.local.state.store import Store


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[ObjectStore]:
    store = Store(tmp_path / "root")
    made = ObjectStore(store)
    made.create_bucket("bkt")
    yield made
    store.close()


def files_under(objects: ObjectStore) -> list[Path]:
    home = objects.store.root / "s3"
    return [path for path in home.rglob("*") if path.is_file() and path.name not in ("writers.lock", "swept")]


class FullDisk(io.FileIO):
    """A file on a disk that takes ten bytes."""

    def write(self, data: object) -> int:
        if self.tell() >= 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(bytes(data)[:10])  # type: ignore[call-overload]


def on_a_full_disk(path: Path) -> BinaryIO:
    return FullDisk(str(path), "xb")


class Broken:
    """A stream that fails after its first block."""

    def __init__(self) -> None:
        self.left = [b"first"]

    def read(self, size: int, /) -> bytes:
        if self.left:
            return self.left.pop()
        raise ConnectionError("the client went away")


class Stuck:
    """A stream that reports its first block to `reached` and never gives a second one."""

    def __init__(self, reached: Connection) -> None:
        self.reached = reached
        self.begun = False

    def read(self, size: int, /) -> bytes:
        if self.begun:
            self.reached.send("half")
            signal.pause()
        self.begun = True
        return b"half"


def write_until_killed(root: Path, reached: Connection) -> None:
    ObjectStore(Store(root)).put("bkt", "k", Stuck(reached))


def test_a_writer_killed_half_way_leaves_the_old_object_and_nothing_after_a_restart(
    objects: ObjectStore,
) -> None:
    old = objects.put("bkt", "k", b"old")
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    writer = spawn.Process(target=write_until_killed, args=(objects.store.root, there))
    writer.start()
    assert here.recv() == "half"
    assert len(files_under(objects)) == 2
    assert objects.sweep() == 0
    writer.kill()
    writer.join()
    assert objects.get("bkt", "k") == old
    assert objects.sweep() == 1
    assert files_under(objects) == [old.path]


def test_readers_always_see_one_whole_version_while_a_writer_replaces_it(objects: ObjectStore) -> None:
    objects.put("bkt", "k", b"0" * 5000)

    def read(_: int) -> bool:
        stored, file = objects.open("bkt", "k")
        with file:
            content = file.read()
        return hashlib.md5(content).hexdigest() == stored.etag  # noqa: S324 - S3's ETag

    with ThreadPoolExecutor(3) as pool:
        whole = pool.map(read, range(150))
        for number in range(1, 40):
            objects.put("bkt", "k", b"%d" % number * 5000)
        assert all(whole)


def test_an_object_comes_back_with_all_that_was_said_about_it(objects: ObjectStore) -> None:
    objects.put("bkt", "a/ü", io.BytesIO(b"hello"), content_type="text/plain", metadata={"k": "v"})
    found = objects.get("bkt", "a/ü")
    assert found is not None
    assert found.path.read_bytes() == b"hello"
    assert (found.size, found.content_type, dict(found.metadata)) == (5, "text/plain", {"k": "v"})
    assert found.etag == hashlib.md5(b"hello").hexdigest()  # noqa: S324 - S3's ETag
    assert found.checksums == {"crc32": "NhCmhg=="}


def test_files_of_objects_cannot_be_written(objects: ObjectStore) -> None:
    stored = objects.put("bkt", "k", b"x")
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o444


def test_a_link_keeps_its_bytes_when_the_object_is_replaced_and_deleted(
    objects: ObjectStore, tmp_path: Path
) -> None:
    objects.put("bkt", "k", b"old")
    linked = objects.link("bkt", "k", tmp_path / "linked").path
    assert (tmp_path / "linked").samefile(linked)
    objects.put("bkt", "k", b"new")
    objects.delete("bkt", "k")
    assert (tmp_path / "linked").read_bytes() == b"old"
    assert not linked.exists()


def test_an_open_object_reads_on_after_it_is_replaced(objects: ObjectStore) -> None:
    objects.put("bkt", "k", b"old")
    stored, file = objects.open("bkt", "k")
    with file:
        objects.put("bkt", "k", b"newer")
        assert (stored.size, file.read()) == (3, b"old")


def test_a_replaced_object_leaves_one_file(objects: ObjectStore) -> None:
    for content in (b"1", b"2", b"3"):
        objects.put("bkt", "k", content)
    assert [path.read_bytes() for path in files_under(objects)] == [b"3"]


def test_a_full_disk_is_a_clear_refusal_and_leaves_what_was_there(objects: ObjectStore) -> None:
    objects.put("bkt", "k", b"before")
    full = ObjectStore(objects.store, on_a_full_disk)
    with pytest.raises(ServiceError, match="full or over quota") as raised:
        full.put("bkt", "k", b"x" * 100)
    assert (raised.value.code, raised.value.status) == ("InsufficientStorage", 507)
    found = objects.get("bkt", "k")
    assert found is not None
    assert found.path.read_bytes() == b"before"
    assert len(files_under(objects)) == 1


def test_short_writes_of_the_system_are_carried_on(objects: ObjectStore) -> None:
    class Slow(io.FileIO):
        def write(self, data: object) -> int:
            return super().write(bytes(data)[:3])  # type: ignore[call-overload]

    slow = ObjectStore(objects.store, lambda path: Slow(str(path), "xb"))
    assert slow.put("bkt", "k", b"0123456789").path.read_bytes() == b"0123456789"


def test_a_stream_that_breaks_off_leaves_nothing(objects: ObjectStore) -> None:
    with pytest.raises(ConnectionError):
        objects.put("bkt", "k", Broken())
    assert objects.get("bkt", "k") is None
    assert files_under(objects) == []


def test_a_refused_check_leaves_nothing(objects: ObjectStore) -> None:
    def refuse(_: object) -> None:
        raise ServiceError("BadDigest", "no")

    with pytest.raises(ServiceError, match="no"):
        objects.put("bkt", "k", b"x", verify=refuse)
    assert objects.get("bkt", "k") is None
    assert files_under(objects) == []


def test_a_failed_precondition_leaves_the_old_object_alone(objects: ObjectStore) -> None:
    objects.put("bkt", "k", b"old")
    with pytest.raises(ServiceError) as raised:
        objects.put("bkt", "k", b"new", condition=Precondition(if_absent=True))
    assert raised.value.code == "PreconditionFailed"
    assert [path.read_bytes() for path in files_under(objects)] == [b"old"]


def test_files_that_a_crash_left_are_swept_by_the_first_start_of_an_hour(objects: ObjectStore) -> None:
    kept = objects.put("bkt", "k", b"kept")
    home = objects.store.root / "s3"
    staged = objects.files.stage(io.BytesIO(b"renamed, then the power went"))
    (home / "incoming" / "half").write_bytes(b"half")
    again = ObjectStore(Store(objects.store.root, lambda: time.time() + SWEEP_INTERVAL_IN_SECONDS))
    assert files_under(again) == [kept.path]
    assert not objects.files.path(staged.file).exists()


def test_a_sweep_stands_back_while_somebody_writes(objects: ObjectStore) -> None:
    with objects.files.writing():
        staged = objects.files.stage(io.BytesIO(b"about to be named"))
        assert objects.sweep() == 0
        assert objects.files.path(staged.file).exists()
    assert objects.sweep() == 1


def test_a_start_within_the_hour_sweeps_nothing(objects: ObjectStore) -> None:
    staged = objects.files.stage(io.BytesIO(b"left by a crash"))
    ObjectStore(Store(objects.store.root, lambda: time.time() + SWEEP_INTERVAL_IN_SECONDS / 2))
    assert objects.files.path(staged.file).exists()
    ObjectStore(Store(objects.store.root, lambda: time.time() - 2 * SWEEP_INTERVAL_IN_SECONDS))
    assert not objects.files.path(staged.file).exists()


class InterruptedLate(Store):
    """A store whose caller is interrupted in the moment after the commit."""

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        with super().transaction(durable=durable) as connection:
            yield connection
        raise KeyboardInterrupt


def test_an_interrupt_after_the_commit_leaves_the_object_its_file(objects: ObjectStore) -> None:
    late = ObjectStore(InterruptedLate(objects.store.root))
    with pytest.raises(KeyboardInterrupt):
        late.put("bkt", "k", b"whole")
    found = objects.get("bkt", "k")
    assert found is not None
    assert found.path.read_bytes() == b"whole"


def test_an_interrupt_after_the_commit_leaves_a_part_its_file(objects: ObjectStore) -> None:
    uploads = Uploads(objects)
    upload = uploads.get("bkt", "k", uploads.create("bkt", "k", Attributes(), "", ""))
    late = Uploads(ObjectStore(InterruptedLate(objects.store.root)))
    with pytest.raises(KeyboardInterrupt):
        late.put_part(upload, 1, Incoming(io.BytesIO(b"part")))
    assert objects.files.path(uploads.parts(upload)[1].file).read_bytes() == b"part"


def test_put_file_links_the_file_and_closes_it_to_writing(objects: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "model.tar.gz"
    source.write_bytes(b"weights")
    stored = objects.put_file("bkt", "model.tar.gz", source)
    assert stored.path.samefile(source)
    assert stored.etag == hashlib.md5(b"weights").hexdigest()  # noqa: S324 - S3's ETag
    assert stat.S_IMODE(source.stat().st_mode) == 0o444


def test_put_file_from_another_disk_copies(objects: ObjectStore) -> None:
    other = Path("/dev/shm")  # noqa: S108 - a file system of its own
    if not other.is_dir() or other.stat().st_dev == objects.store.root.stat().st_dev:
        pytest.skip("there is no second file system to copy from")
    source = other / f"ift-{os.getpid()}"
    source.write_bytes(b"far")
    try:
        stored = objects.put_file("bkt", "k", source)
        assert not stored.path.samefile(source)
        assert stored.path.read_bytes() == b"far"
    finally:
        source.unlink()


def test_list_is_in_the_order_of_utf8_bytes_and_starts_after_a_key(objects: ObjectStore) -> None:
    keys = ["b", "a", "a/b", "a-b", "ä", "\U0001f600", "\uffee", "B"]
    for key in keys:
        objects.put("bkt", key, b"")
    listed = [found.key for found in objects.list("bkt")]
    assert listed == sorted(keys, key=str.encode)
    assert [found.key for found in objects.list("bkt", prefix="a", after="a-b")] == ["a/b"]
    assert [found.key for found in objects.list("bkt", limit=2)] == listed[:2]


def test_list_goes_on_past_its_page_size(objects: ObjectStore) -> None:
    with objects.store.transaction() as connection:
        row = "INSERT INTO objects VALUES ('bkt', ?, 'f', 0, 'e', 0, '[\"t\", {}, {}]', '{}')"
        connection.executemany(row, [(f"{number:05}".encode(),) for number in range(1201)])
    assert len(list(objects.list("bkt"))) == 1201
    assert len(list(objects.list("bkt", limit=501))) == 501


def test_a_missing_bucket_is_refused_before_the_stream_is_read(objects: ObjectStore) -> None:
    source = io.BytesIO(b"unread")
    with pytest.raises(ServiceError) as raised:
        objects.put("nowhere", "k", source)
    assert (raised.value.code, raised.value.status, source.tell()) == ("NoSuchBucket", 404, 0)


def test_a_key_above_1024_bytes_is_refused(objects: ObjectStore) -> None:
    assert objects.put("bkt", "ü" * 512, b"").key == "ü" * 512
    with pytest.raises(ServiceError, match="too long"):
        objects.put("bkt", "ü" * 512 + "x", b"")


def test_a_file_gone_from_the_disk_is_an_internal_error_that_names_the_object(objects: ObjectStore) -> None:
    objects.put("bkt", "k", b"x").path.unlink()
    with pytest.raises(ServiceError, match="bkt/k is missing from the disk"):
        objects.open("bkt", "k")
