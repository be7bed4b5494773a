"""Rows as tokens, and which of them are learnt (`wire.encoding`), checked all together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ift_sagemaker.errors import DatasetError, TemplateError
from ift_sagemaker.wire.encoding import ConversationEncoder, EncodedRow
from ift_sagemaker.wire.rows import Message

__all__ = ["ConversationEncoder", "EncodedRow", "encode_rows", "stop_token_ids"]


def stop_token_ids(generation_config: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens at which serving ends an answer: those of the generation config and the tokenizer's own."""
    configured = getattr(generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, (list, tuple)) else [configured]
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if token is not None)


def encode_rows(
    encoder: ConversationEncoder,
    conversations: Sequence[Sequence[Message]],
    max_length: int,
    *,
    truncate: bool = False,
) -> list[EncodedRow]:
    """Every conversation as tokens. Raises DatasetError naming all the rows that cannot be used, from 1."""
    rows, findings = [], []
    for number, messages in enumerate(conversations, start=1):
        try:
            row = encoder.row(messages)
        except (DatasetError, TemplateError) as error:
            findings.append(f"row {number}: {error.message}")
            continue
        finding = _length_finding(number, row, max_length, truncate=truncate)
        if finding:
            findings.append(finding)
        rows.append(row.truncated(max_length))
    if findings:
        raise DatasetError(_listing(findings), findings=findings)
    return rows


def _length_finding(number: int, row: EncodedRow, max_length: int, *, truncate: bool) -> str:
    if len(row.ids) <= max_length:
        return ""
    if not truncate:
        return f"row {number}: {len(row.ids)} tokens"
    if not row.truncated(max_length).trained_count:
        return f"row {number}: its prompt alone fills {max_length} tokens"
    return ""


def _listing(findings: Sequence[str], shown: int = 20) -> str:
    more = f"; and {len(findings) - shown} more" if len(findings) > shown else ""
    return (
        f"{len(findings)} rows cannot be used as they are (max_input_length, truncate_long_rows and the "
        f"template decide): {'; '.join(findings[:shown])}{more}"
    )
