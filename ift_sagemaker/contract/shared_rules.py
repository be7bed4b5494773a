"""Rules that hold for several operations alike: tags, EULA acceptance."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from ift_sagemaker.contract.rule import Request, Rule, is_true, repeated, section, structures, text

MODEL = "botocore 1.44.5, service model of SageMaker"
_TAG_PUNCTUATION = frozenset("_.:/=+-@")


def tag_keys_unique(params: Request) -> Iterator[str]:
    for key in repeated(text(tag, "Key") for _, tag in structures(params, "Tags")):
        yield f"Tags: the key {key!r} occurs more than once"


def tag_keys_reserved(params: Request) -> Iterator[str]:
    for path, tag in structures(params, "Tags"):
        if text(tag, "Key").lower().startswith("aws:"):
            yield f"{path}.Key: {tag['Key']!r} begins with aws:, which only AWS may set"


def tag_characters(params: Request) -> Iterator[str]:
    for path, tag in structures(params, "Tags"):
        for part in ("Key", "Value"):
            wrong = sorted({mark for mark in text(tag, part) if not _allowed_in_tag(mark)})
            if wrong:
                yield f"{path}.{part}: {wrong} not allowed, only letters, digits, spaces and _.:/=+-@"


def eula_texts(source: Request, path: str) -> Iterator[str]:
    access = section(source, "ModelAccessConfig")
    if access and not is_true(access, "AcceptEula"):
        yield f"{path}.ModelAccessConfig.AcceptEula is not true, so the licence is not accepted"


def tag_rules(operation: str, prefix: str) -> tuple[Rule, ...]:
    return (
        Rule(
            f"{prefix}.tag-keys-unique",
            operation,
            "Tag keys are unique per resource.",
            f"{MODEL}: Tag.Key",
            "2026-11-23",
            tag_keys_unique,
        ),
        Rule(
            f"{prefix}.tag-keys-reserved",
            operation,
            "Tag keys do not begin with aws:.",
            "AWS tagging rules, general knowledge",
            "2026-11-23",
            tag_keys_reserved,
            "doubtful",
        ),
        Rule(
            f"{prefix}.tag-characters",
            operation,
            "Tag keys and values hold letters, digits, spaces and _.:/=+-@ only.",
            f"{MODEL}: pattern of TagKey and TagValue, which Python's re cannot compile",
            "2026-11-23",
            tag_characters,
        ),
    )


def _allowed_in_tag(mark: str) -> bool:
    return mark in _TAG_PUNCTUATION or unicodedata.category(mark)[0] in "LZN"
