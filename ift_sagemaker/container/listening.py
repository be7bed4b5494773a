"""Hearing an answer while it is made, and what of it may already be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

_INCOMPLETE = "\ufffd"
"""What a decoder prints for the bytes of a character that is not whole yet."""


class Listener(Protocol):
    """Somebody who hears one answer; called in the thread that makes it."""

    @property
    def gone(self) -> bool:
        """Whether nobody listens any more, so that the rest need not be made."""

    @property
    def hears(self) -> bool:
        """Whether `hear` is to be called, or somebody only waits for the end."""

    def hear(self, text: str, token: int) -> None:
        """The whole text so far, and the token that came last. The finished answer is not heard."""


class Waiter:
    """Somebody who waits for the end of an answer, and may leave before."""

    hears = False

    def __init__(self) -> None:
        self.gone = False

    def hear(self, text: str, token: int) -> None:
        """Is never told."""


class Telling:
    """What of a growing text cannot change any more: no half character, no possible start of a stop text."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self.told = ""

    def more(self, text: str) -> str:
        """The part of `text` to tell now; empty where it is better to wait."""
        settled = text.rstrip(_INCOMPLETE)
        return self._tell(settled[: len(settled) - held_back(settled, self._stops)])

    def rest(self, text: str) -> str | None:
        """What is left to tell of the finished text; None where it does not go on as it was told."""
        return self._tell(text) if text.startswith(self.told) else None

    def _tell(self, text: str) -> str:
        # a decoder may take back a character until its bytes are whole
        if len(text) <= len(self.told) or not text.startswith(self.told):
            return ""
        new, self.told = text[len(self.told) :], text
        return new


def held_back(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end may be the beginning of a stop text."""
    longest = min(len(text), max((len(stop) for stop in stops), default=1) - 1)
    ends = (text[len(text) - size :] for size in range(longest, 0, -1))
    return next((len(end) for end in ends if any(stop.startswith(end) for stop in stops)), 0)
