"""Bodies of known length, which go past h11: whole, in time, and never into the next request."""

from __future__ import annotations

import hashlib
import os
import re
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from ift_sagemaker import local
from ift_sagemaker.local.door.body import RequestBody
from ift_sagemaker.local.door.connection import Limits
from ift_sagemaker.local.door.server import Served
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.s3.files import BLOCK
from tests.unit.local.door.sockets import client, dial, everything, talk, until
from tests.unit.local.door.test_connection import HOST, S3, Start, everything_of, running

LONG = os.urandom(3 * BLOCK + 12_345)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with local.serve(tmp_path_factory.mktemp("served") / "root") as found:
        client(found, "s3").create_bucket(Bucket="bkt")
        yield found


def put(key: str, body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    told = b"Content-Length: %d\r\n" % (len(body) if length is None else length)
    return b"PUT /bkt/%s HTTP/1.1\r\n" % key.encode() + HOST + S3 + b"".join(headers) + told + b"\r\n" + body


def stored(served: Served, key: str) -> bytes | None:
    s3 = client(served, "s3")
    if not s3.list_objects_v2(Bucket="bkt", Prefix=key)["KeyCount"]:
        return None
    return bytes(s3.get_object(Bucket="bkt", Key=key)["Body"].read())


def digesting(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Answers with the MD5 of the body, which it takes in buffers."""
    found, buffer = hashlib.md5(usedforsecurity=False), bytearray(100_000)
    while got := environ["wsgi.input"].readinto(buffer):
        found.update(memoryview(buffer)[:got])
    start("200 OK", [("Content-Length", "32")])
    return [found.hexdigest().encode()]


def md5(body: bytes) -> bytes:
    return hashlib.md5(body, usedforsecurity=False).hexdigest().encode()


def test_a_buffer_is_filled_in_place_with_what_did_not_come_with_the_head() -> None:
    taken: list[bytes | None] = [b"head's", None]
    filled: list[int] = []

    def receive_into(buffer: memoryview) -> int:
        filled.append(len(buffer))
        size = min(4, len(buffer))
        buffer[:size] = b"past"[:size]
        return size

    body = RequestBody(lambda: taken.pop(0), receive_into, 6 + 6)
    buffer = bytearray(100)
    got = [bytes(buffer[: body.readinto(buffer)]) for _ in range(4)]
    assert got == [b"head's", b"past", b"pa", b""]
    assert filled == [6, 2]


@pytest.mark.parametrize("at", [0, 1, 16_000, 16_500, 500_000], ids=str)
def test_a_long_body_cut_anywhere_arrives_whole_and_the_connection_goes_on(at: int) -> None:
    head = b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(LONG)
    with running(digesting) as served, dial(served) as link:
        for _ in range(2):
            link.sendall(head + LONG[:at])
            time.sleep(0.02)
            link.sendall(LONG[at:])
            assert everything_of(link, 1) == [md5(LONG)]


def test_long_and_short_requests_that_come_at_once_are_told_apart() -> None:
    bodies = [LONG, b"short", b"", LONG[:-1], b"x" * 16_385, LONG]
    sent = [
        b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies
    ]
    with running(digesting) as served, dial(served) as link:
        link.sendall(b"".join(sent))
        assert everything_of(link, len(bodies)) == [md5(body) for body in bodies]


def test_whoever_expects_100_with_a_long_body_sends_the_next_request_on_the_same_connection() -> None:
    head = b"PUT / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(LONG)
    with running(digesting) as served, dial(served) as link:
        for _ in range(2):
            link.sendall(head)
            assert until(link, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            link.sendall(LONG)
            assert everything_of(link, 1) == [md5(LONG)]


def test_a_client_that_ends_the_connection_with_a_long_body_is_obeyed() -> None:
    head = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(LONG)
    with running(digesting) as served:
        assert talk(served, b"PUT / HTTP/1.1\r\n" + HOST + head + LONG).endswith(md5(LONG))
        assert talk(served, b"PUT / HTTP/1.0\r\n" + HOST + head + LONG).endswith(md5(LONG))


def test_lines_and_buffers_may_be_read_in_turn() -> None:
    def both(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        body, buffer = environ["wsgi.input"], bytearray(len(LONG))
        lines = body.readline(100), body.readinto(buffer), body.readline(100), body.read()
        assert lines == (b"first\r\n", len(LONG), b"last\r\n", b"")
        start("200 OK", [("Content-Length", "32")])
        return [md5(bytes(buffer))]

    body = b"first\r\n" + LONG + b"last\r\n"
    with running(both) as served, dial(served) as link:
        link.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert everything_of(link, 1) == [md5(LONG)]


def test_bytes_beyond_the_length_are_not_of_the_body(served: Served) -> None:
    answer = talk(served, put("over", LONG + b"and more\r\n\r\n", length=len(LONG)))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"HTTP/1.1 400" in answer
    assert stored(served, "over") == LONG


@pytest.mark.parametrize("sent", [0, 5, BLOCK, len(LONG) - 1], ids=str)
def test_a_long_upload_that_breaks_off_anywhere_stores_nothing(served: Served, sent: int) -> None:
    with dial(served) as link:
        link.sendall(put("broken", LONG[:sent], length=len(LONG)))
        link.shutdown(1)
        assert b"<Code>IncompleteBody</Code>" in everything(link)
    assert stored(served, "broken") is None


def test_a_part_that_breaks_off_is_no_part(served: Served) -> None:
    s3 = client(served, "s3")
    upload = s3.create_multipart_upload(Bucket="bkt", Key="parts")["UploadId"]
    with dial(served) as link:
        link.sendall(put(f"parts?partNumber=1&uploadId={upload}", LONG[:-1], length=len(LONG)))
        link.shutdown(1)
        assert b"<Code>IncompleteBody</Code>" in everything(link)
    assert "Parts" not in s3.list_parts(Bucket="bkt", Key="parts", UploadId=upload)
    s3.abort_multipart_upload(Bucket="bkt", Key="parts", UploadId=upload)


def test_a_slow_client_is_waited_for_as_long_as_something_comes() -> None:
    with running(digesting, limits=Limits(stalled=0.5)) as served, dial(served) as link:
        link.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n")
        for _ in range(10):
            time.sleep(0.07)
            link.sendall(b"x")
        assert everything_of(link, 1) == [md5(b"x" * 10)]


def test_a_client_that_stops_in_a_long_body_is_told_so_and_let_go() -> None:
    def tells(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        with pytest.raises(ServiceError) as raised:
            environ["wsgi.input"].read()
        start("400 Bad Request", [])
        return [raised.value.code.encode()]

    with running(tells, limits=Limits(stalled=0.1)) as served, dial(served) as link:
        link.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(LONG) + LONG[:-1])
        assert b"RequestTimeout" in everything(link)


def test_an_unwanted_body_without_end_is_not_read_for_ever() -> None:
    def refusing(_: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("403 Forbidden", [("Content-Length", "2")])
        return [b"no"]

    began = time.monotonic()
    with running(refusing, limits=Limits(drained=0.2)) as served, dial(served) as link:
        link.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (1 << 40))
        assert until(link, b"no").startswith(b"HTTP/1.1 403")
        link.sendall(LONG)
        link.settimeout(5)
        assert link.recv(1) == b""
    assert time.monotonic() - began < 5


def chunked(body: bytes, size: int, checksum: bytes) -> bytes:
    """The body in aws-chunked framing, with a CRC32 that follows it."""
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x;chunk-signature=%s\r\n%s\r\n" % (len(one), b"0" * 64, one) for one in cut)
    return framed + b"0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % checksum


def in_pieces(body: bytes) -> bytes:
    cut = [body[at : at + 70_000] for at in range(0, len(body), 70_000)]
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in cut) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1000, 64 << 10, BLOCK, len(LONG)], ids=str)
@pytest.mark.parametrize("known", [True, False], ids=["length", "chunks"])
def test_a_long_body_with_its_checksum_behind_it_is_stored_only_if_that_is_right(
    served: Served, size: int, known: bool
) -> None:
    right = b64encode(crc32(LONG).to_bytes(4, "big"))
    for checksum, code in ((b64encode(b"evil"), b"<Code>BadDigest</Code>"), (right, b"200 OK")):
        body = chunked(LONG, size, checksum)
        framing = b"Content-Length: %d\r\n" % len(body) if known else b"Transfer-Encoding: chunked\r\n"
        head = (
            b"PUT /bkt/trailed HTTP/1.1\r\n" + HOST + S3 + framing + b"Connection: close\r\n"
            b"x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\nContent-Encoding: aws-chunked\r\n"
            b"x-amz-trailer: x-amz-checksum-crc32\r\nx-amz-decoded-content-length: %d\r\n\r\n" % len(LONG)
        )
        assert code in talk(served, head + (body if known else in_pieces(body)))
        assert stored(served, "trailed") == (LONG if checksum == right else None)
    client(served, "s3").delete_object(Bucket="bkt", Key="trailed")


DIGESTS: list[tuple[bytes, Callable[[bytes], bytes], bytes]] = [
    (b"x-amz-content-sha256", lambda body: hashlib.sha256(body).hexdigest().encode(), b"XAmzContentSHA256"),
    (b"x-amz-checksum-crc32", lambda body: b64encode(crc32(body).to_bytes(4, "big")), b"BadDigest"),
    (b"content-md5", lambda body: b64encode(bytes.fromhex(md5(body).decode())), b"BadDigest"),
]


@pytest.mark.parametrize(("header", "digest", "code"), DIGESTS, ids=[name.decode() for name, *_ in DIGESTS])
def test_one_wrong_byte_at_the_end_of_a_long_body_is_refused(
    served: Served, header: bytes, digest: Callable[[bytes], bytes], code: bytes
) -> None:
    promised = header + b": " + digest(LONG) + b"\r\nConnection: close\r\n"
    damaged = LONG[:-1] + bytes([LONG[-1] ^ 1])
    answer = talk(served, put("checked", damaged, promised))
    assert re.search(rb"<Code>" + code, answer), answer
    assert stored(served, "checked") is None
    assert talk(served, put("checked", LONG, promised)).startswith(b"HTTP/1.1 200 OK")
    client(served, "s3").delete_object(Bucket="bkt", Key="checked")


def test_a_refused_or_broken_upload_leaves_no_file(tmp_path: Path) -> None:
    with local.serve(tmp_path / "root") as served:
        client(served, "s3").create_bucket(Bucket="bkt")
        wrong = b"x-amz-content-sha256: " + b"0" * 64 + b"\r\nConnection: close\r\n"
        assert b"<Code>XAmzContentSHA256Mismatch</Code>" in talk(served, put("k", LONG, wrong))
        with dial(served) as link:
            link.sendall(put("k", LONG[:-1], length=len(LONG)))
            link.shutdown(1)
            everything(link)
        home = tmp_path / "root" / "s3"
        assert [
            path for name in ("objects", "incoming") for path in (home / name).rglob("*") if path.is_file()
        ] == []


def test_parts_that_come_at_once_take_the_memory_of_a_few_blocks_however_long_they_are(
    served: Served,
) -> None:
    s3, part, at_once = client(served, "s3"), memoryview(bytes(8 << 20)), 4
    upload = s3.create_multipart_upload(Bucket="bkt", Key="flat")["UploadId"]
    heads = [
        put(f"flat?partNumber={number}&uploadId={upload}", b"", length=len(part))
        for number in range(1, at_once + 1)
    ]

    def send(head: bytes) -> bytes:
        with dial(served) as link:
            link.sendall(head)
            link.sendall(part)
            return until(link, b"\r\n\r\n")

    with ThreadPoolExecutor(at_once) as senders:
        tracemalloc.start()
        try:
            answers = list(senders.map(send, heads))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert [answer.split(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * at_once
    assert peak < at_once * 3 * BLOCK
    s3.abort_multipart_upload(Bucket="bkt", Key="flat", UploadId=upload)
