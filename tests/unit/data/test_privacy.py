"""Likely secrets and personal data are named, and never repeated in a finding."""

from __future__ import annotations

import pytest

from ift_sagemaker.data.checking.privacy import disclosures

LIKELY = {
    "an AWS access key id": "the key AKIA" + "IOSFODNN7EXAMPLE here",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nabc",
    "a GitHub token": "use ghp_" + "a1B2" * 10,
    "a Hugging Face token": "hf_" + "aB3d" * 9,
    "an OpenAI or Anthropic key": "sk-ant-" + "aB3d" * 10,
    "a Slack token": "xoxb-" + "123456789012-abc",
    "a JSON web token": "eyJ" + "hbGciOiJIUzI1.eyJ" + "zdWIiOiIxMjM0." + "SflKxwRJSMeKKF2QT4",
    "an e-mail address": "write to jane.doe+x@mail.example.com today",
    "a card number": "paid with 4111 1111 1111 1111.",
    "a bank account (IBAN)": "to DE89 3704 0044 0532 0130 00 please",
    "a US social security number": "his number is 078-05-1120",
    "a telephone number": "call +49 (30) 1234-5678 now",
}
HARMLESS = [
    "The order 4111 1111 1111 1112 is no card.",
    "DE89 3704 0044 0532 0130 01 is no account.",
    "Meet @ 5 o'clock; 3.14159265358979 is pi, and 1,000,000 is a million.",
    "In 1999-2000 we had 123-456 rows, and +5 points.",
    "0000 0000 0000 0000",
    "Ask me about hf_ prefixes, sk-learn and PRIVATE KEY handling.",
    "",
]


@pytest.mark.parametrize("kind", LIKELY)
def test_what_looks_like_a_secret_or_personal_data_is_named(kind: str) -> None:
    (found,) = disclosures(LIKELY[kind])
    assert found.kind == kind


@pytest.mark.parametrize("kind", LIKELY)
def test_a_finding_shows_no_more_than_the_beginning(kind: str) -> None:
    (found,) = disclosures(LIKELY[kind])
    assert len(found.shown) == 5


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert list(disclosures(text)) == []


def test_one_of_a_kind_is_enough() -> None:
    text = "a@b.example c@d.example +49 30 12345678"
    assert [found.kind for found in disclosures(text)] == ["an e-mail address", "a telephone number"]
