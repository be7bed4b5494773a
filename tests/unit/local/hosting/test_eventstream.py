"""The event stream against botocore's own reader."""

from __future__ import annotations

from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from ift_sagemaker.local.hosting import eventstream


@settings(deadline=None)
@given(payloads=st.lists(st.binary(max_size=300), max_size=5), cut=st.integers(1, 50))
def test_botocore_reads_every_message_back_however_it_is_cut(payloads: list[bytes], cut: int) -> None:
    whole = b"".join(eventstream.event("PayloadPart", payload) for payload in payloads)
    buffer = EventStreamBuffer()
    for start in range(0, len(whole), cut):
        buffer.add_data(whole[start : start + cut])
    found = list(buffer)
    assert [message.payload for message in found] == payloads
    assert all(message.headers[":event-type"] == "PayloadPart" for message in found)


def test_an_error_is_an_exception_with_its_members_as_json() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(eventstream.exception("ModelStreamError", {"Message": "ü", "ErrorCode": "StreamBroken"}))
    (message,) = buffer
    assert message.headers[":message-type"] == "exception"
    assert message.headers[":exception-type"] == "ModelStreamError"
    assert message.payload == b'{"Message": "\\u00fc", "ErrorCode": "StreamBroken"}'
