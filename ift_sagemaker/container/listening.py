"""Hearing an answer while it is made, and what of it may already be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ift_sagemaker.container.generation import Mark


class Listener(Protocol):
    """Somebody who hears one answer; called in the thread that makes it."""

    @property
    def gone(self) -> bool:
        """Whether nobody listens any more, so that the rest need not be made."""

    @property
    def hears(self) -> bool:
        """Whether `hear` is to be called, or somebody only waits for the end."""

    def hear(self, text: str, token: int, mark: Mark | None) -> None:
        """The text that is settled with one more token. The finished answer is not heard."""


class Waiter:
    """Somebody who waits for the end of an answer, and may leave before."""

    hears = False

    def __init__(self) -> None:
        self.gone = False

    def hear(self, text: str, token: int, mark: Mark | None) -> None:
        """Is never told."""


class Telling:
    """What of a growing text can be told: nothing that may be the start of a stop text."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self._told: list[str] = []

    def more(self, new: str) -> str:
        """What to tell now that `new` is settled behind all before; empty where it is better to wait."""
        text = self._held + new
        place = len(text) - held_back(text, self._stops)
        self._held = text[place:]
        if place:
            self._told.append(text[:place])
        return text[:place]

    def rest(self, text: str) -> str | None:
        """What is left to tell of the finished text; None where it does not go on as it was told."""
        told = "".join(self._told)
        return text[len(told) :] if text.startswith(told) else None


def held_back(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end may be the beginning of a stop text."""
    longest = min(len(text), max((len(stop) for stop in stops), default=1) - 1)
    ends = (text[len(text) - size :] for size in range(longest, 0, -1))
    return next((len(end) for end in ends if any(stop.startswith(end) for stop in stops)), 0)
