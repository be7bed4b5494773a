"""How deep a check goes: its rules, each of which can be left out, and the memory it may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ift_sagemaker.data.memory import DEFAULT_MEMORY, check_memory
from ift_sagemaker.errors import ConfigError

RULES = {
    "duplicate": "a row is the same as an earlier one",
    "conflict": "a row has the prompt of an earlier one and another answer",
    "near-duplicate": "a prompt is nearly the same as an earlier one",
    "leakage": "a prompt is also in the set that is checked against",
    "near-leakage": "a prompt is nearly the same as one in the set that is checked against",
    "special-token": "a text contains a model's control token",
    "imbalance": "nearly all rows have one answer",
    "language": "what languages rows are probably in",
    "secret": "a text has what looks like a key or token",
    "personal-data": "a text has what looks like an address, a telephone, card or account number",
}
"""The rules over texts and what each finds. The rules that every row must meet cannot be left out."""


@dataclass(frozen=True)
class Depth:
    """`without` names rules of `RULES` to leave out; `memory_bytes` bounds what is kept in memory.

    Beyond that memory, and a constant of about 60 MB for work, state is in files below `folder` (default: the
    system's folder for temporary files), a few hundred bytes a row. Raises ConfigError for an unknown rule.
    """

    without: frozenset[str] = frozenset()
    memory_bytes: int = DEFAULT_MEMORY
    folder: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "without", frozenset(self.without))
        unknown = sorted(self.without - RULES.keys())
        if unknown:
            raise ConfigError(
                f"no rule {unknown[0]!r} can be left out; those that can are {', '.join(RULES)}",
                field="without",
                value=unknown[0],
                allowed=", ".join(RULES),
            )
        check_memory(self.memory_bytes)

    def has(self, *rules: str) -> bool:
        """Whether one of the rules is on."""
        return not self.without.issuperset(rules)


EVERYTHING = Depth()
ROWS_ALONE = Depth(frozenset(RULES))
"""Only the rules that every row must meet, and lengths."""
