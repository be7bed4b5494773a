"""One text out of the streams of all containers."""

from __future__ import annotations

import pytest

from ift_sagemaker.aws.answers import texts
from ift_sagemaker.errors import InvocationError

CHAT = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"choices":[{"delta":{"content":"b"}}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: {"choices":[],"usage":{}}\n\n'
    b"data: [DONE]\n\n"
)
COMPLETION = (
    b'data: {"choices":[{"text":"a"}]}\n\ndata: {"choices":[{"text":"b","finish_reason":"length"}]}\n\n'
)
TGI = (
    b'data:{"token":{"text":"a"},"generated_text":null}\n\n'
    b'data:{"token":{"text":"b"},"generated_text":"ab","details":{}}\n\n'
)
LMI = (
    b'{"token": {"id": 1, "text": "a"}}\n'
    b'{"token": {"id": 2, "text": "b"}, "details": {"finish_reason": "length"}, "generated_text": "ab"}\n'
)


@pytest.mark.parametrize("stream", [CHAT, COMPLETION, TGI, LMI], ids=["chat", "completion", "tgi", "lmi"])
def test_every_containers_stream_gives_the_same_pieces(stream: bytes) -> None:
    assert list(texts("e", [stream])) == ["a", "b"]


def test_a_server_that_does_not_stream_gives_its_whole_answer_at_once() -> None:
    whole = b'{"choices":[{"message":{"content":"ab"},"finish_reason":"stop"}]}'
    assert list(texts("e", [whole])) == ["ab"]


@pytest.mark.parametrize(
    ("stream", "words", "status"),
    [
        (b'data: {"error": {"message": "the card is gone", "code": 503}}\n\n', "the card is gone", 503),
        (b'data:{"error":"out of memory","error_type":"generation"}\n\n', "out of memory", 500),
        (b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', "broke off", 200),
        (b"", "broke off", 200),
        (b"data: <html>\n\n", "not JSON", 200),
        (b'data: {"what": 1}\n\n', "something else", 200),
    ],
)
def test_what_is_no_whole_answer_is_an_error(stream: bytes, words: str, status: int) -> None:
    with pytest.raises(InvocationError, match=words) as caught:
        list(texts("e", [stream]))
    assert caught.value.status_code == status
