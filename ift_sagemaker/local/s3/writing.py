"""Writing a file that will be synced, so that little is left to sync at its end."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

# bytes: few enough that the disk has work from the start, and enough for writes that are long ones
WRITE_OUT = 8 << 20
_SYNC_FILE_RANGE_WRITE = 2

BeginWriteOut = Callable[[int, int, int], object]


def _begin_write_out() -> BeginWriteOut:
    """What has the kernel begin to write a span (descriptor, offset, bytes) to the disk, and does not wait.

    Nothing is promised by that, and an error is left for the sync to tell. Linux has it, others go without.
    """
    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is None:
        return lambda *_: None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

    def begin(descriptor: int, offset: int, size: int) -> object:
        return call(descriptor, offset, size, _SYNC_FILE_RANGE_WRITE)

    return begin


begin_write_out = _begin_write_out()


class Writer:
    """Writes blocks to `sink` from where it stands, each in its `turn`; the disk takes them meanwhile."""

    def __init__(
        self,
        sink: BinaryIO,
        turn: AbstractContextManager[object] | None = None,
        begin: BeginWriteOut = begin_write_out,
    ) -> None:
        self._sink = sink
        self._turn = turn or nullcontext()
        self._begin = begin
        self._at = self._begun = sink.tell()

    def write(self, block: memoryview) -> None:
        left = block
        with self._turn:
            while left:
                left = left[self._sink.write(left) :]
        self._at += len(block)
        if self._at - self._begun >= WRITE_OUT:
            self.begin_write_out()

    def begin_write_out(self) -> None:
        """Has the disk take what was written since the last time."""
        if self._at > self._begun:
            self._begin(self._sink.fileno(), self._begun, self._at - self._begun)
            self._begun = self._at
