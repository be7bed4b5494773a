"""Likely secrets and personal data in texts. A finding never shows what was found, only its beginning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SHOWN = 4


@dataclass(frozen=True)
class Disclosure:
    """Something that ought not to be in training data; `kind` says what it looks like."""

    rule: str
    kind: str
    shown: str


def _passes_luhn(text: str) -> bool:
    """Whether the digits are a card number's: the checksum of ISO/IEC 7812."""
    digits = [int(digit) for digit in text if digit.isdigit()]
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])
    return len(set(digits)) > 1 and (sum(digits[::-2]) + sum(doubled)) % 10 == 0


def _passes_mod_97(text: str) -> bool:
    """Whether the text is an account number: the checksum of ISO 13616 (IBAN)."""
    joined = re.sub(r"\s", "", text).upper()
    return int("".join(str(int(character, 36)) for character in joined[4:] + joined[:4])) % 97 == 1


def _always(_: str) -> bool:
    return True


_PATTERNS = (
    ("secret", "an AWS access key id", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", _always),
    ("secret", "a private key", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----", _always),
    ("secret", "a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})", _always),
    ("secret", "a Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}\b", _always),
    ("secret", "an OpenAI or Anthropic key", r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}", _always),
    ("secret", "a Slack token", r"\bxox[abprs]-[A-Za-z0-9-]{10,}", _always),
    (
        "secret",
        "a JSON web token",
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        _always,
    ),
    ("personal-data", "an e-mail address", r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b", _always),
    ("personal-data", "a card number", r"\b\d(?:[ -]?\d){12,18}\b", _passes_luhn),
    (
        "personal-data",
        "a bank account (IBAN)",
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b",
        _passes_mod_97,
    ),
    (
        "personal-data",
        "a US social security number",
        r"\b(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}\b",
        _always,
    ),
    ("personal-data", "a telephone number", r"(?<![\w+])\+\d{1,3}(?:[ .()-]{0,2}\d){7,12}\b", _always),
)
_COMPILED = tuple((rule, kind, re.compile(pattern), passes) for rule, kind, pattern, passes in _PATTERNS)
# what every text with one of the above has; most texts have none of it and cost this one look
_HINT = re.compile(
    r"@|\d{3}|AKIA|ASIA|PRIVATE KEY|gh[pousr]_|github_pat|\bhf_|\bsk-|xox[abprs]-|eyJ|[A-Z]{2}\d\d"
)


def disclosures(text: str) -> Iterator[Disclosure]:
    """What looks like a secret or like personal data, one of a kind at most."""
    if not _HINT.search(text):
        return
    for rule, kind, pattern, passes in _COMPILED:
        for found in pattern.finditer(text):
            if passes(found[0]):
                yield Disclosure(rule, kind, f"{found[0][:_SHOWN]}…")
                break
