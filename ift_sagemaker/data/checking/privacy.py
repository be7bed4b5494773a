"""Likely secrets and personal data in texts. A finding never shows what was found, only its beginning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ift_sagemaker.data.likeness.words import AT, MAX_CHARACTERS, TextBatch

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


# rule, what it looks like, what every such text contains (digits, a literal, or both), pattern, check
_DIGITS, _AT = "\0digits", "@"
_CARD = (
    r"(?<![\dA-Za-z])(?<!\d[ -])(?=[3-6]|2[2-7])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?"
    r"|3[47]\d\d([ -])\d{6}\2\d{5})(?![ -]?\d|[A-Za-z])"
)
_JWT = r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
_IBAN = r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"
_PATTERNS = (
    ("secret", "an AWS access key id", "AKIA", r"\bAKIA[A-Z0-9]{16}\b", _always),
    ("secret", "an AWS access key id", "ASIA", r"\bASIA[A-Z0-9]{16}\b", _always),
    ("secret", "a private key", "PRIVATE KEY", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----", _always),
    ("secret", "a GitHub token", "gh", r"\b(?:gh[pousr]_\w{36,}|github_pat_\w{40,})", _always),
    ("secret", "a Hugging Face token", "hf_", r"\bhf_[A-Za-z0-9]{30,}\b", _always),
    ("secret", "an OpenAI or Anthropic key", "sk-", r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}", _always),
    ("secret", "a Slack token", "xox", r"\bxox[abprs]-[A-Za-z0-9-]{10,}", _always),
    ("secret", "a JSON web token", "eyJ", _JWT, _always),
    (
        "personal-data",
        "an e-mail address",
        _AT,
        r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.[A-Za-z]{2,}\b",
        _always,
    ),
    ("personal-data", "a card number", _DIGITS, _CARD, _passes_luhn),
    ("personal-data", "a bank account (IBAN)", _DIGITS, _IBAN, _passes_mod_97),
    (
        "personal-data",
        "a US social security number",
        _DIGITS + "-",
        r"\b(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}\b",
        _always,
    ),
    (
        "personal-data",
        "a telephone number",
        _DIGITS + "+",
        r"(?<![\w+])\+\d{1,3}(?:[ .()-]{0,2}\d){7,12}\b",
        _always,
    ),
)
_COMPILED = tuple((*row[:3], re.compile(row[3]), row[4]) for row in _PATTERNS)
_MARKS = tuple(mark for _, _, mark, _, _ in _COMPILED if mark != _AT and not mark.startswith(_DIGITS))
_SOME_DIGITS = re.compile(r"\d(?:.{0,2}\d){7}", re.DOTALL)


def disclosures(text: str) -> Iterator[Disclosure]:
    """What looks like a secret or like personal data, one of a kind at most."""
    many_digits = _SOME_DIGITS.search(text) is not None
    for rule, kind, mark, pattern, passes in _COMPILED:
        literal = mark.removeprefix(_DIGITS)
        if (many_digits or literal == mark) and literal in text:
            for found in pattern.finditer(text):
                if passes(found[0]):
                    yield Disclosure(rule, kind, f"{found[0][:_SHOWN]}…")
                    break


def suspects(texts: Sequence[str], batch: TextBatch) -> list[int]:
    """The texts that `disclosures` may find something in: few, and told for a whole batch at once."""
    found = {*np.flatnonzero(batch.seen & AT).tolist(), *batch.dense_digits(8, 22).tolist()}
    found.update(number for number, text in enumerate(texts) if len(text) > MAX_CHARACTERS)
    joined = "\n".join(texts)
    for mark in _MARKS:
        if mark in joined:
            found.update(number for number, text in enumerate(texts) if mark in text)
    return sorted(found)
