"""The text of tokens that come one by one, at a bounded cost for each.

As vLLM's and tokenizers' streams do, only the tokens since the last settled text are decoded again, behind
those of the settled text before, so that a decoder that treats the first token differently finds none there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_INCOMPLETE = "\ufffd"
"""What a decoder prints for the bytes of a character that is not whole yet."""
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8: among so many places one is between two characters."""
_LONGEST_WINDOW = 12
"""Tokens that may wait for the end of a character: more are bytes that are none."""


class Speller:
    """A tokenizer's way from tokens to text, special tokens left out."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        self.special = frozenset(token for token, entry in added.items() if entry.special)
        vocabulary = tokenizer.get_vocab()
        self.bytes = frozenset(token for text, token in vocabulary.items() if _BYTE.fullmatch(text))
        """Fallbacks for single bytes. A run of them is text only as a whole."""

    def text(self, tokens: Sequence[int], *, special: bool = False) -> str:
        # without the clean-up of spaces, which would change what has been told already
        text: str = self._tokenizer.decode(
            list(tokens), skip_special_tokens=not special, clean_up_tokenization_spaces=False
        )
        return text


class Spelling:
    """One growing text. What is settled stays as it is, whatever tokens come."""

    def __init__(self, speller: Speller) -> None:
        self._speller = speller
        self._before: list[int] = []
        self._window: list[int] = []

    def add(self, token: int) -> str:
        """The text that is settled with this token, often none."""
        if token in self._speller.special:
            return ""
        self._window.append(token)
        if token in self._speller.bytes:
            return ""
        text = self.open
        if text and not text.endswith(_INCOMPLETE):
            return self._settle(len(self._window), text)
        return self._forced(text) if len(self._window) > _LONGEST_WINDOW else ""

    @property
    def open(self) -> str:
        """The text behind the settled one, as it would be if nothing more came."""
        return self._behind(self._before, self._window)

    def _behind(self, before: Sequence[int], tokens: Sequence[int]) -> str:
        if not tokens:
            return ""
        known = len(self._speller.text(before)) if before else 0
        return self._speller.text([*before, *tokens])[known:]

    def _settle(self, count: int, text: str) -> str:
        self._before, self._window = self._window[:count], self._window[count:]
        return text

    def _forced(self, text: str) -> str:
        """Settles as much of bytes that are no text as no later byte can change."""
        count = len(self._window)
        for cut in range(count - 1, count - 1 - _LONGEST_CHARACTER, -1):
            if self._window[cut] in self._speller.bytes:
                continue
            head = self._behind(self._before, self._window[:cut])
            rest = self._behind(self._window[:cut], self._window[cut:])
            if head and rest and head + rest == text:
                return self._settle(cut, head)
        return ""


class GrowingText:
    """The text of one answer, and where the first of its stop texts cuts it."""

    def __init__(self, speller: Speller, stops: Sequence[str]) -> None:
        self._spelling, self._stops = Spelling(speller), tuple(stops)
        self._reach = max((len(stop) for stop in stops), default=1) - 1
        self._pieces: list[str] = []
        self._recent = ""
        self._free = 0
        self._cut: int | None = None
        self.length = 0
        """Characters that are settled."""

    def add(self, token: int, *, is_free: bool) -> str:
        """The text that is settled with this token; what is `is_free` holds no stop text."""
        new = self._spelling.add(token)
        if self._stops:
            self._search(new + self._spelling.open, is_free=is_free)
            self._recent = (self._recent + new)[-self._reach :] if self._reach else ""
        self._pieces.append(new)
        self.length += len(new)
        return new

    @property
    def is_cut(self) -> bool:
        return self._cut is not None

    @property
    def whole(self) -> str:
        """All of it so far; up to the stop text where there is one."""
        return ("".join(self._pieces) + self._spelling.open)[: self._cut]

    def _search(self, new: str, *, is_free: bool) -> None:
        """Looks for stop texts that end in `new`, which is behind the settled text."""
        text, start = self._recent + new, self.length - len(self._recent)
        if is_free:
            self._free = start + len(text)
            return
        found = [text.find(stop, max(0, self._free - start - len(stop) + 1)) for stop in self._stops]
        places = [place for place in found if place >= 0]
        self._cut = start + min(places) if places else None
