"""Uploads in parts: whatever the parts and their order, the object is their bytes; a crash tears nothing."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.s3.digests import encode
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.s3.records import Attributes
from ift_sagemaker.local.s3.uploads import Completion, Incoming, ListedPart, Upload, Uploads
from ift_sagemaker.local.state.store import Store

LEAST = 4
CRASHED = 7
# what changes the disk: of os, of files and of SQLite
EFFECTS = ("open", "write", "fsync", "rename", "link", "unlink", "chmod", "mkdir", "execute", "executemany")

# sizes of the parts but for the last, and of the last; what a client sends before the right bytes of a part
SPLITS = st.tuples(st.lists(st.integers(LEAST, 9), max_size=5), st.integers(0, 12))
EVEN_SPLITS = st.builds(
    lambda size, count, last: ([size] * count, min(last, size)),
    st.integers(LEAST, 9),
    st.integers(0, 5),
    st.integers(1, 9),
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    store = Store(tmp_path_factory.mktemp("s3") / "root")
    made = ObjectStore(store)
    made.create_bucket("bkt")
    yield made
    store.close()


def begin(uploads: Uploads) -> Upload:
    return uploads.get("bkt", "k", uploads.create("bkt", "k", Attributes(), "", ""))


def listed(uploads: Uploads, upload: Upload) -> list[ListedPart]:
    return [ListedPart(part.number, part.etag, {}) for part in uploads.parts(upload).values()]


def files_on_disk(objects: ObjectStore) -> set[str]:
    home = objects.store.root / "s3"
    folders = (home / "objects", home / "incoming")
    return {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}


def etag_of(pieces: list[bytes]) -> str:
    digests = b"".join(hashlib.md5(piece).digest() for piece in pieces)  # noqa: S324 - S3's ETag
    return f"{hashlib.md5(digests).hexdigest()}-{len(pieces)}"  # noqa: S324 - S3's ETag


@settings(deadline=None, max_examples=60)
@given(st.one_of(SPLITS, EVEN_SPLITS), st.randoms(), st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)))
def test_any_split_sent_in_any_order_makes_the_same_object(
    objects: ObjectStore, split: tuple[list[int], int], random: Any, again: set[int], unannounced: set[int]
) -> None:
    uploads = Uploads(objects, LEAST)
    sizes = [*split[0], split[1]]
    pieces = [random.randbytes(size) for size in sizes]
    upload = begin(uploads)
    sent = list(enumerate(pieces, 1)) + [
        (number + 1, b"first try") for number in again if number < len(sizes)
    ]
    random.shuffle(sent)
    order = sent + [(number + 1, pieces[number]) for number in again if number < len(sizes)]
    for number, piece in order:
        size = None if number in unannounced else len(piece)
        uploads.put_part(upload, number, Incoming(io.BytesIO(piece), size))
    stored = uploads.complete(upload, listed(uploads, upload), Completion())
    whole = b"".join(pieces)
    assert stored.path.read_bytes() == whole
    assert (stored.size, stored.etag) == (len(whole), etag_of(pieces))
    assert stored.checksums == {"crc32": encode(zlib.crc32(whole).to_bytes(4, "big"))}
    assert [part.size for part in objects.layout(stored)] == sizes
    assert files_on_disk(objects) == {stored.path.name}


@settings(deadline=None, max_examples=60)
@given(EVEN_SPLITS, st.randoms())
def test_parts_of_one_size_are_written_once_whatever_their_order(
    objects: ObjectStore, split: tuple[list[int], int], random: Any
) -> None:
    uploads = Uploads(objects, LEAST)
    pieces = [random.randbytes(size) for size in (*split[0], split[1])]
    upload = begin(uploads)
    # the first part fixes the place of the others; after it they may come in any order
    rest = list(enumerate(pieces, 1))[1:]
    random.shuffle(rest)
    for number, piece in [(1, pieces[0]), *rest]:
        uploads.put_part(upload, number, Incoming(io.BytesIO(piece), len(piece)))
    (file,) = {part.file for part in uploads.parts(upload).values()}
    stored = uploads.complete(upload, listed(uploads, upload), Completion())
    assert stored.path.name == file


def crash_before(step: int, action: Callable[[], object]) -> bool:
    """Whether a process of its own ended, at once and without a word, before its effect number `step`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == CRASHED
    left = step

    def count(_: FrameType, event: str, function: Any) -> None:
        nonlocal left
        if event == "c_call" and function.__name__ in EFFECTS:
            left -= 1
            if left < 0:
                os._exit(CRASHED)

    sys.setprofile(count)
    try:
        action()
    finally:
        os._exit(0)


def check_after_crash(objects: ObjectStore, old: bytes, new: bytes) -> None:
    found = objects.get("bkt", "k")
    assert found is not None
    assert found.path.read_bytes() in (old, new)
    objects.sweep()
    named = {file for (file,) in objects.store.rows("SELECT file FROM parts UNION SELECT file FROM grids")}
    present = files_on_disk(objects)
    assert found.path.name in present
    assert present <= named | {found.path.name}


def finish(uploads: Uploads, upload: Upload, pieces: list[bytes]) -> None:
    """What a client does after a crash: it sends the parts again that are not listed, and completes."""
    present = uploads.parts(upload)
    for number, piece in enumerate(pieces, 1):
        if number not in present:
            uploads.put_part(upload, number, Incoming(io.BytesIO(piece), len(piece)))
    stored = uploads.complete(upload, listed(uploads, upload), Completion())
    assert stored.path.read_bytes() == b"".join(pieces)


@pytest.mark.parametrize("how", ["in place", "joined"])
def test_a_crash_between_any_two_steps_leaves_the_old_object_or_the_new_and_no_file(
    objects: ObjectStore, how: str
) -> None:
    uploads = Uploads(objects, LEAST)
    pieces = [b"first", b"second"] if how == "joined" else [b"first", b"last"]
    step, crashed = 0, True
    while crashed:
        objects.put("bkt", "k", b"old")
        upload = begin(uploads)

        def send_and_complete(upload: Upload = upload) -> None:
            finish(uploads, upload, pieces)

        crashed = crash_before(step, send_and_complete)
        check_after_crash(objects, b"old", b"".join(pieces))
        try:
            finish(uploads, uploads.get("bkt", "k", upload.id), pieces)
        except ServiceError as error:
            assert error.code == "NoSuchUpload"  # noqa: PT017 - a completed upload is gone, and only that
        stored = objects.get("bkt", "k")
        assert stored is not None
        assert stored.path.read_bytes() == b"".join(pieces)
        assert files_on_disk(objects) == {stored.path.name}
        step += 1
    assert step > 40
