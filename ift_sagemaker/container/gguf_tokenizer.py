"""The tokenizer inside a GGUF file, built from its own metadata.

transformers can read it too, but its first 5.x releases turned a byte-level tokenizer of a Llama-shaped model
into CodeLlama's, with other tokens and another end token; read here, every release gives equal files.
Source of the keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import GGUFReader, TokenType
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ift_sagemaker.errors import UnsupportedError, WeightsError

_SPLITTERS: dict[str, tuple[Any, ...]] = {
    "default": (),
    "gpt-2": (),
    "smollm": (pre_tokenizers.Digits(individual_digits=True),),
}
"""What comes before byte-level splitting, by `tokenizer.ggml.pre`."""
_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}


def read_tokenizer(path: Path, context: int) -> Any:
    """The tokenizer of a GGUF file, its chat template included; `context` is the longest text in tokens.

    Raises UnsupportedError for any but a byte-level BPE that is known here, WeightsError for a file without.
    """
    reader = GGUFReader(path)
    kind, splitter = _text(reader, "model", ""), _text(reader, "pre", "default")
    if kind != "gpt2" or splitter not in _SPLITTERS:
        raise UnsupportedError(
            f"{path.name} has a tokenizer of kind {kind!r} ({splitter!r}); byte-level BPE is converted, "
            f"of the kinds {', '.join(_SPLITTERS)}",
            feature="converting this tokenizer",
        )
    tokens, merges = _required(reader, "tokens", path), _required(reader, "merges", path)
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=[(left, right) for left, right in (merge.split(" ", 1) for merge in merges)],
        )
    )
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*_SPLITTERS[splitter], byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = _value(reader, "token_type") or []
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=context, **_special_tokens(reader, tokens)
    )
    fast.chat_template = _value(reader, "chat_template", "tokenizer.")
    return fast


def _special_tokens(reader: Any, tokens: list[str]) -> dict[str, str]:
    numbers = {name: _value(reader, f"{key}_token_id") for name, key in _SPECIAL.items()}
    return {name: tokens[number] for name, number in numbers.items() if number is not None}


def _value(reader: Any, name: str, prefix: str = "tokenizer.ggml.") -> Any:
    field = reader.get_field(prefix + name)
    return None if field is None else field.contents()


def _text(reader: Any, name: str, default: str) -> str:
    value = _value(reader, name)
    return default if value is None else str(value)


def _required(reader: Any, name: str, path: Path) -> list[str]:
    value = _value(reader, name)
    if not value:
        raise WeightsError(f"{path} holds no tokenizer {name}")
    return list(value)
