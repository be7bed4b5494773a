"""Every derived name of the library, made in one place.

A name is the same for the same intent: `ift-<slug>-<12 hex digits of the fingerprint>`, `-eval` for an
evaluation, `-2` for a second attempt. All names have at most 63 characters, letters, digits and single
hyphens only: what SageMaker's names allow, and Bedrock's too, which forbid double hyphens.
"""

from __future__ import annotations

import hashlib
import re

from ift_sagemaker.errors import ConfigError

PREFIX = "ift-"
MAX_NAME = 63
MAX_SLUG = 28
MAX_ATTEMPT = 999
FINGERPRINT_DIGITS = 12

_SLUG_TAIL = 11
_DERIVED = re.compile(
    r"(?P<first>ift-[a-z0-9]+(?:-[a-z0-9]+)*-[0-9a-f]{12}(?:-eval)?)(?:-(?P<attempt>[1-9][0-9]{0,2}))?"
)


def slug(model_id: str) -> str:
    """1–28 lowercase letters, digits and single hyphens; a longer id keeps its two ends."""
    plain = _hyphenated(model_id.lower()) or "model"
    if len(plain) <= MAX_SLUG:
        return plain
    head = plain[: MAX_SLUG - _SLUG_TAIL - 1].strip("-")
    return f"{head}-{plain[-_SLUG_TAIL:].strip('-')}"


def job_name(model_id: str, fingerprint: str, attempt: int = 1) -> str:
    """The training job's name. `fingerprint` has at least 12 lowercase hex digits, `attempt` is 1–999."""
    return _numbered(PREFIX + slug(model_id) + "-" + _digits(fingerprint), attempt)


def evaluation_name(model_id: str, fingerprint: str, attempt: int = 1) -> str:
    """The evaluation job's name. Its fingerprint covers tuned weights, rows and settings."""
    return _numbered(PREFIX + slug(model_id) + "-" + _digits(fingerprint) + "-eval", attempt)


def model_name(job: str) -> str:
    """The SageMaker model made of a job's artefact."""
    return _fitted(job, "")


def endpoint_name(job: str) -> str:
    """The endpoint that serves a job's model where the caller names none."""
    return _fitted(job, "")


def endpoint_config_name(endpoint: str) -> str:
    """The configuration behind an endpoint."""
    return _fitted(endpoint, "-config")


def attempt_of(name: str) -> int:
    """The attempt in a name of this library; 1 for the first and for names from elsewhere."""
    match = _DERIVED.fullmatch(name)
    return int(match["attempt"] or 1) if match else 1


def base_name(name: str) -> str:
    """The name of the first attempt; names from elsewhere come back as they are."""
    match = _DERIVED.fullmatch(name)
    return match["first"] if match else name


def _hyphenated(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", text).strip("-")


def _digits(fingerprint: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{12,}", fingerprint):
        raise ConfigError(
            f"a fingerprint has at least 12 lowercase hex digits, got {fingerprint!r}",
            field="fingerprint",
            value=fingerprint,
            allowed="[0-9a-f]{12,}",
        )
    return fingerprint[:FINGERPRINT_DIGITS]


def _numbered(first: str, attempt: int) -> str:
    if not 1 <= attempt <= MAX_ATTEMPT:
        raise ConfigError(
            f"attempt {attempt} is outside 1 to {MAX_ATTEMPT}",
            field="attempt",
            value=attempt,
            allowed=f"1 to {MAX_ATTEMPT}",
        )
    return first if attempt == 1 else f"{first}-{attempt}"


def _fitted(name: str, suffix: str) -> str:
    """`name` + `suffix` within 63 characters; what is cut off is replaced by 8 digits of its hash."""
    plain = _hyphenated(name)
    if not plain:
        raise ConfigError(
            f"no name can be made of {name!r}: it has no letter or digit", field="name", value=name
        )
    if len(plain + suffix) <= MAX_NAME:
        return plain + suffix
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    head = plain[: MAX_NAME - len(suffix) - len(digest) - 1].strip("-")
    return f"{head}-{digest}{suffix}"
