from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ift_sagemaker.wire.events import EventReader, done, event

DOCUMENTS = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3), max_size=5)


def read(data: bytes, cut: int) -> tuple[list[Any], bool]:
    reader = EventReader()
    found: list[Any] = []
    for start in range(0, len(data), cut):
        found += reader.feed(data[start : start + cut])
    found += reader.close()
    return found, reader.ended


@settings(deadline=None)
@given(documents=DOCUMENTS, cut=st.integers(1, 9))
def test_what_is_written_is_read_however_it_is_cut(documents: list[Any], cut: int) -> None:
    whole = b"".join(map(event, documents)) + done()
    assert read(whole, cut) == (documents, True)


@pytest.mark.parametrize(
    "data",
    [
        b'data:{"a":1}\r\n\r\n: a comment\n\nevent: x\nid: 3\ndata: {"b": 2}\n\n',
        b'{"a": 1}\n{"b": 2}',
    ],
)
def test_the_forms_of_other_servers_are_read(data: bytes) -> None:
    assert read(data, 3) == ([{"a": 1}, {"b": 2}], False)


def test_an_event_that_is_no_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        list(EventReader().feed(b"data: <html>\n"))
