"""HTTP/1.1 itself: framing, Expect, keep-alive, limits, and an end for whatever is wrong or slow."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker import local
from ift_sagemaker.local.door.connection import Limits
from ift_sagemaker.local.door.server import Served, Server, serve
from ift_sagemaker.local.state.settings import LocalSettings
from tests.unit.local.door.sockets import ask, client, dial, everything, talk, until

HOST = b"Host: 127.0.0.1\r\n"
S3 = b"Authorization: AWS4-HMAC-SHA256 Credential=K/20260101/us-east-1/s3/aws4_request\r\n"
Start = Callable[..., Any]
Application = Callable[[dict[str, Any], Start], Iterable[bytes]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with local.serve(tmp_path_factory.mktemp("served") / "root") as found:
        client(found, "s3").create_bucket(Bucket="bkt")
        yield found


@contextmanager
def running(application: Application, **options: Any) -> Iterator[Served]:
    server = Server(application, **options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Served(server.url, Path(), {})
    finally:
        server.stop()
        thread.join()


def echo(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Answers with the body, read in pieces."""
    body = environ["wsgi.input"]
    data = b"".join(iter(lambda: body.read(7), b""))
    start("200 OK", [("Content-Length", str(len(data)))])
    return [data]


def refusing(_: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Answers without a look at the body."""
    start("403 Forbidden", [("Content-Length", "2")])
    return [b"no"]


def test_a_chunked_body_is_undone_with_its_trailers_and_read_by_line(served: Served) -> None:
    inner = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    head = (
        b"PUT /bkt/chunked HTTP/1.1\r\n" + HOST + S3 + b"Transfer-Encoding: chunked\r\nConnection: close\r\n"
        b"x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\nContent-Encoding: aws-chunked\r\n"
        b"x-amz-trailer: x-amz-checksum-crc32\r\nx-amz-decoded-content-length: 5\r\n\r\n"
    )
    pieces = [
        b"%x\r\n%s\r\n" % (len(inner[at : at + 3]), inner[at : at + 3]) for at in range(0, len(inner), 3)
    ]
    answer = talk(served, head, *pieces, b"0\r\nTrailer: ignored\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    found = client(served, "s3").get_object(Bucket="bkt", Key="chunked")["Body"].read()
    assert found == b"hello"


def test_a_body_is_handed_on_while_it_still_comes() -> None:
    seen = threading.Event()

    def first_bytes(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        assert environ["wsgi.input"].read(3) == b"abc"
        seen.set()
        rest = environ["wsgi.input"].read()
        start("200 OK", [("Content-Length", str(len(rest)))])
        return [rest]

    with running(first_bytes) as served, dial(served) as link:
        link.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert seen.wait(5)
        link.sendall(b"2\r\nde\r\n0\r\n\r\n")
        assert until(link, b"de").startswith(b"HTTP/1.1 200")


def test_each_piece_of_an_answer_is_out_before_the_next_is_made() -> None:
    go_on = threading.Event()

    def slowly(_: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [])
        yield b"first"
        assert go_on.wait(5)
        yield b"second"

    with running(slowly) as served, dial(served) as link:
        link.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert until(link, b"5\r\nfirst\r\n").lower().count(b"transfer-encoding: chunked") == 1
        go_on.set()
        until(link, b"6\r\nsecond\r\n0\r\n\r\n")


def test_whoever_expects_100_gets_it_when_the_body_is_wanted_and_not_before() -> None:
    with running(echo) as served, dial(served) as link:
        link.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert until(link, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        link.sendall(b"body")
        assert until(link, b"body").startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_refused_upload_that_expects_100_is_told_so_at_once_and_sends_nothing() -> None:
    with running(refusing) as served, dial(served) as link:
        link.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        answer = everything(link)
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"connection: close" in answer.lower()


def test_a_refused_upload_that_was_sent_all_the_same_is_read_so_that_the_refusal_arrives() -> None:
    with running(refusing) as served, dial(served) as link:
        for _ in range(2):
            link.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 3000000\r\n\r\n" + bytes(3_000_000))
            assert until(link, b"no").startswith(b"HTTP/1.1 403")


def test_one_connection_serves_request_after_request_also_when_they_come_at_once() -> None:
    with running(echo) as served, dial(served) as link:
        one = b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
        link.sendall(one * 3)
        assert everything_of(link, 3) == [b"abc"] * 3
        link.sendall(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nConnection: close\r\n\r\nz")
        assert everything(link).endswith(b"z")


def everything_of(link: Any, count: int) -> list[bytes]:
    bodies = []
    for _ in range(count):
        head = until(link, b"\r\n\r\n").lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        bodies.append(b"".join(link.recv(1) for _ in range(length)))
    return bodies


def test_clients_reuse_their_connection(served: Served) -> None:
    with dial(served) as link:
        for _ in range(3):
            link.sendall(b"GET /bkt?list-type=2 HTTP/1.1\r\n" + HOST + S3 + b"\r\n")
            assert until(link, b"</ListBucketResult>").startswith(b"HTTP/1.1 200 OK")


def test_an_answer_to_head_has_a_length_and_no_body(served: Served) -> None:
    client(served, "s3").put_object(Bucket="bkt", Key="head", Body=b"12345")
    with dial(served) as link:
        link.sendall(b"HEAD /bkt/head HTTP/1.1\r\n" + HOST + S3 + b"Connection: close\r\n\r\n")
        head, _, body = everything(link).partition(b"\r\n\r\n")
    assert b"content-length: 5" in head.lower()
    assert body == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"x" * 100_000, b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
    ],
    ids=["no HTTP", "no host", "length", "two lengths", "coding", "long line", "long head", "TLS"],
)
def test_what_is_no_http_is_refused_in_json_and_closed(served: Served, sent: bytes, status: bytes) -> None:
    head, _, body = talk(served, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in head.lower()
    assert json.loads(body)["__type"] in ("BadRequest", "RequestHeaderSectionTooLarge")


@pytest.mark.parametrize("body", [b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"], ids=str)
def test_a_request_that_tells_its_length_in_two_ways_is_refused_and_nothing_behind_it_is_read(
    body: bytes,
) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running(echo) as served:
        answer = talk(served, head + body + b"GET /hidden HTTP/1.1\r\n" + HOST + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"x-amzn-RequestId") == 1
    assert b"both Content-Length and Transfer-Encoding" in answer


def test_bad_chunks_are_refused_by_the_service_that_reads_them(served: Served) -> None:
    head = b"PUT /bkt/bad HTTP/1.1\r\n" + HOST + S3 + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = talk(served, head, b"zz\r\nhello\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"<Code>IncompleteBody</Code>" in answer
    assert "Contents" not in client(served, "s3").list_objects_v2(Bucket="bkt", Prefix="bad")


@pytest.mark.parametrize("framing", [b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_upload_that_breaks_off_stores_nothing(served: Served, framing: bytes) -> None:
    with dial(served) as link:
        link.sendall(b"PUT /bkt/broken HTTP/1.1\r\n" + HOST + S3 + framing + b"\r\n5\r\nhello\r\n"[:9])
        link.shutdown(1)
        assert b"<Code>IncompleteBody</Code>" in everything(link)
    assert "Contents" not in client(served, "s3").list_objects_v2(Bucket="bkt", Prefix="broken")


@pytest.mark.parametrize(
    "failure", [RuntimeError("a fault"), OSError(errno.EIO, "the disk is gone")], ids=repr
)
def test_an_answer_that_fails_half_way_is_cut_off_and_told_in_the_log(
    caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    def failing(_: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [])
        yield b"half"
        raise failure

    with running(failing) as served:
        answer = talk(served, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert answer.endswith(b"4\r\nhalf\r\n")
    told = [(record.levelname, record.exc_info) for record in caplog.records if "broke off" in record.message]
    assert [(level, info and info[1]) for level, info in told] == [("WARNING", failure)]


def test_a_client_that_leaves_in_the_middle_of_an_answer_closes_it_and_is_no_fault_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while not closed.is_set():
                yield bytes(1 << 16)

        def close(self) -> None:
            closed.set()

    def endless(_: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [])
        return Endless()

    with running(endless) as served:
        with dial(served) as link:
            link.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            link.recv(1000)
        assert closed.wait(5)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        (Limits(idle=0.1), b""),
        (Limits(head=0.1), b"GET / HT"),
    ],
    ids=["idle", "slow head"],
)
def test_a_client_that_says_nothing_or_never_ends_its_head_is_let_go(limits: Limits, sent: bytes) -> None:
    with running(echo, limits=limits) as served, dial(served) as link:
        link.sendall(sent)
        assert everything(link) == b""


def test_a_body_that_stops_coming_is_refused_as_s3_does(tmp_path: Path) -> None:
    with serve(LocalSettings(root=tmp_path / "root"), limits=Limits(stalled=0.1)) as served:
        client(served, "s3").create_bucket(Bucket="bkt")
        answer = talk(served, b"PUT /bkt/k HTTP/1.1\r\n" + HOST + S3 + b"Content-Length: 9\r\n\r\nhell")
    assert b"<Code>RequestTimeout</Code>" in answer


def test_long_streams_do_not_keep_others_waiting() -> None:
    enough = threading.Event()

    def streams(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [])
        yield b"."
        if environ["PATH_INFO"] == "/long":
            assert enough.wait(10)

    with running(streams) as served:
        links = [dial(served) for _ in range(32)]
        for link in links:
            link.sendall(b"GET /long HTTP/1.1\r\n" + HOST + b"\r\n")
            until(link, b"1\r\n.\r\n")
        began = time.monotonic()
        assert ask(served, "GET", "/")[1] == b"."
        assert time.monotonic() - began < 2
        enough.set()
        for link in links:
            until(link, b"0\r\n\r\n")
            link.close()


def test_a_full_house_lets_the_idlest_go_and_refuses_only_when_all_are_busy() -> None:
    enough = threading.Event()

    def streams(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [])
        yield b"."
        if environ["PATH_INFO"] == "/long":
            assert enough.wait(10)

    with running(streams, most_connections=2) as served:
        with dial(served) as idle, dial(served) as busy:
            busy.sendall(b"GET /long HTTP/1.1\r\n" + HOST + b"\r\n")
            until(busy, b"1\r\n.\r\n")
            assert ask(served, "GET", "/")[1] == b"."
            assert everything(idle) == b""
            with dial(served) as second:
                second.sendall(b"GET /long HTTP/1.1\r\n" + HOST + b"\r\n")
                until(second, b"1\r\n.\r\n")
                response, body = ask(served, "GET", "/")
                assert (response.status, json.loads(body)["__type"]) == (503, "ServiceUnavailable")
                enough.set()
                until(second, b"0\r\n\r\n")
            until(busy, b"0\r\n\r\n")


def test_stopping_lets_an_answer_end_and_takes_no_more() -> None:
    under_way, enough = threading.Event(), threading.Event()

    def slowly(_: dict[str, Any], start: Start) -> Iterable[bytes]:
        under_way.set()
        assert enough.wait(5)
        start("200 OK", [("Content-Length", "4")])
        return [b"done"]

    server = Server(slowly)
    thread = threading.Thread(target=server.run)
    thread.start()
    served = Served(server.url, Path(), {})
    with dial(served) as link, dial(served) as idle:
        link.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert under_way.wait(5)
        server.stop()
        assert everything(idle) == b""
        with pytest.raises(ConnectionError):
            dial(served)
        enough.set()
        assert everything(link).endswith(b"done")
    thread.join(5)
    assert not thread.is_alive()


def test_a_whole_address_as_target_is_understood(served: Served) -> None:
    line = b"GET http://s3.us-east-1.amazonaws.com/bkt?list-type=2 HTTP/1.1\r\n"
    head = line + b"Host: s3.us-east-1.amazonaws.com\r\nConnection: close\r\n\r\n"
    assert b"<ListBucketResult" in talk(served, head)


PAGES = [
    {"Host": "evil.example"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost.evil.example:80"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
]


@pytest.mark.parametrize("headers", PAGES, ids=str)
def test_a_web_page_can_neither_start_nor_read_anything(served: Served, headers: dict[str, str]) -> None:
    told = {"X-Amz-Target": "SageMaker.ListTrainingJobs", **headers}
    response, body = ask(served, "POST", "/", b"{}", told)
    assert (response.status, json.loads(body)["__type"]) == (403, "AccessDenied")
    assert response.getheader("Access-Control-Allow-Origin") is None
    response, body = ask(
        served, "GET", "/bkt?X-Amz-Credential=K/20260101/us-east-1/s3/aws4_request", headers=headers
    )
    assert response.status == 403
    assert b"<Code>AccessDenied</Code>" in body


@pytest.mark.parametrize("site", ["cross-site", "same-origin", "none"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_opening_an_address_in_a_browser_changes_nothing(served: Served, site: str, method: str) -> None:
    iam = client(served, "iam")
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
    asked = "Action=CreateRole&Version=2010-05-08&RoleName=opened&AssumeRolePolicyDocument=%7B%7D"
    scopes = ["", *(f"&X-Amz-Credential=a/20260101/us-east-1/{of}/aws4_request" for of in ("iam", "s3"))]
    for signed in (*scopes, scopes[2] + scopes[1]):
        assert ask(served, method, f"/?{asked}{signed}", headers=headers)[0].status == 403
    unnamed = "/?X-Amz-Credential=a/20260101/us-east-1/sts/aws4_request"
    assert ask(served, method, unnamed, headers=headers)[0].status == 403
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="opened")


@pytest.mark.parametrize("host", ["localhost", "[::1]:1", "127.0.0.1:99", "s3.us-east-1.amazonaws.com"])
def test_names_of_this_machine_and_of_aws_are_let_in(served: Served, host: str) -> None:
    told = {"X-Amz-Target": "SageMaker.ListTrainingJobs", "Host": host}
    assert ask(served, "POST", "/", b"{}", told)[0].status == 200


def test_opening_an_address_in_a_browser_reads_the_object(served: Served) -> None:
    s3 = client(served, "s3")
    s3.put_object(Bucket="bkt", Key="report", Body=b"read me")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "bkt", "Key": "report"})
    path = url.removeprefix(served.url)
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask(served, "GET", path, headers=headers)[1] == b"read me"
