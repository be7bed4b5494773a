"""Fields of a request that say how to generate: what each may be, and what is refused.

Names and meanings are those of OpenAI's API and, where that has none, of vLLM's:
https://docs.vllm.ai/en/latest/api/vllm/sampling_params.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.errors import IFTError

MAX_STOPS = 16
MAX_LOGPROBS = 20
"""OpenAI's most for a chat, and vLLM's for all."""
MAX_BIASES = 1024
GREEDY_BELOW = 1e-5
"""vLLM takes a temperature below this for 0."""
SAMPLING = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "logit_bias",
        "stop",
        "stop_token_ids",
        "ignore_eos",
        "min_tokens",
        "seed",
    }
)
INERT: Mapping[str, tuple[Any, ...]] = {
    "best_of": (1, None),
    "echo": (False, None),
    "watermark": (False, None),
    "decoder_input_details": (False, None),
    "top_n_tokens": (None, 0),
    "include_stop_str_in_output": (False, None),
    "skip_special_tokens": (True, None),
    "spaces_between_special_tokens": (True, None),
    "prompt_logprobs": (None,),
    "length_penalty": (1, None),
    "use_beam_search": (False, None),
    "bad_words": (None, []),
    "allowed_token_ids": (None,),
    "parallel_tool_calls": (True, False, None),
    "tools": (None, []),
    "functions": (None, []),
    "response_format": (None, {"type": "text"}),
    "tool_choice": (None, "none", "auto"),
    "truncate": (None,),
    "typical_p": (None, 1),
    "suffix": (None,),
}
"""Known fields this server does not act on, with the values that ask for nothing."""


class BadRequest(IFTError):  # noqa: N818 - named after the answer it becomes
    """A body that cannot be answered; `field` names the culprit, `status` and `kind` become the reply."""

    field: str
    status: int
    kind: str

    def __init__(
        self, message: str, *, field: str, status: int = 400, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message, field=field, status=status, kind=kind)


def refuse_others(body: Mapping[str, Any], known: frozenset[str] | set[str], prefix: str = "") -> None:
    """An unknown field is refused where it would change the answer; one that asks for nothing may stay."""
    for name, value in body.items():
        if name in known or (name in INERT and value in INERT[name]):
            continue
        raise BadRequest(
            f"{prefix}{name}={value!r} is not supported by this server",
            field=f"{prefix}{name}",
            kind="not_supported",
        )


def settings(
    values: Mapping[str, Any], limit: str, vocabulary: int | None, prefix: str = ""
) -> dict[str, Any]:
    """Arguments of a GenerationRequest; `limit` names the field with the most tokens, maybe None."""
    temperature = number(values, "temperature", prefix, (0, 100)) or 0.0
    most = number(values, limit, prefix, (1, 1_000_000), whole=True)
    least = number(values, "min_tokens", prefix, (0, 1_000_000), whole=True) or 0
    if most is not None and least > most:
        raise BadRequest(f"min_tokens={least} is above {limit}={most}", field=f"{prefix}min_tokens")
    return {
        "max_new_tokens": most,
        "min_tokens": least,
        "temperature": 0.0 if temperature < GREEDY_BELOW else temperature,
        "top_p": _top_p(values, prefix),
        "top_k": max(0, _or(number(values, "top_k", prefix, (-1, 1_000_000), whole=True), 0)),
        "min_p": _or(number(values, "min_p", prefix, (0, 1)), 0.0),
        "frequency_penalty": _or(number(values, "frequency_penalty", prefix, (-2, 2)), 0.0),
        "presence_penalty": _or(number(values, "presence_penalty", prefix, (-2, 2)), 0.0),
        "repetition_penalty": _or(number(values, "repetition_penalty", prefix, (0.01, 100)), 1.0),
        "logit_bias": _biases(values, prefix, vocabulary),
        "stop": _stops(values, prefix),
        "stop_token_ids": _token_ids(values, prefix, vocabulary),
        "ignore_eos": boolean(values, "ignore_eos", prefix, default=False),
        "seed": number(values, "seed", prefix, (0, 2**63 - 1), whole=True),
    }


def _or(value: Any, default: float) -> Any:
    return default if value is None else value


def _top_p(values: Mapping[str, Any], prefix: str) -> float:
    value = number(values, "top_p", prefix, (0, 1))
    if value == 0:
        raise BadRequest(f"{prefix}top_p must be above 0 and at most 1, not 0", field=f"{prefix}top_p")
    return 1.0 if value is None else float(value)


def number(
    values: Mapping[str, Any], name: str, prefix: str, allowed: tuple[float, float], *, whole: bool = False
) -> Any:
    value = values.get(name)
    if value is None:
        return None
    right_type = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right_type or not allowed[0] <= value <= allowed[1]:
        kind = "an integer" if whole else "a number"
        raise BadRequest(
            f"{prefix}{name} must be {kind} from {allowed[0]:g} to {allowed[1]:g}, not {value!r}",
            field=f"{prefix}{name}",
        )
    return value


def boolean(values: Mapping[str, Any], name: str, prefix: str, *, default: bool) -> bool:
    value = values.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadRequest(f"{prefix}{name} must be true or false, not {value!r}", field=f"{prefix}{name}")
    return value


def _stops(values: Mapping[str, Any], prefix: str) -> tuple[str, ...]:
    value = values.get("stop")
    stops = [] if value is None else [value] if isinstance(value, str) else value
    usable = isinstance(stops, list) and all(isinstance(stop, str) and stop for stop in stops)
    if not usable or len(stops) > MAX_STOPS:
        raise BadRequest(f"{prefix}stop must be a text or up to {MAX_STOPS} texts", field=f"{prefix}stop")
    return tuple(stops)


def _token_ids(values: Mapping[str, Any], prefix: str, vocabulary: int | None) -> tuple[int, ...]:
    value = values.get("stop_token_ids")
    listed = [] if value is None else value
    if not isinstance(listed, list) or len(listed) > MAX_BIASES:
        raise BadRequest(
            f"{prefix}stop_token_ids must be a list of up to {MAX_BIASES} tokens",
            field=f"{prefix}stop_token_ids",
        )
    return tuple(_token(token, "stop_token_ids", prefix, vocabulary) for token in listed)


def _biases(values: Mapping[str, Any], prefix: str, vocabulary: int | None) -> tuple[tuple[int, float], ...]:
    """OpenAI's map of tokens, as texts of their numbers, to what is added to their logits."""
    value = values.get("logit_bias")
    mapping = {} if value is None else value
    if not isinstance(mapping, dict) or len(mapping) > MAX_BIASES:
        raise BadRequest(
            f"{prefix}logit_bias must be an object of up to {MAX_BIASES} tokens", field=f"{prefix}logit_bias"
        )
    biases = {}
    for name, bias in mapping.items():
        digits = int(name) if name.isascii() and name.isdigit() and len(name) < 10 else None
        token = _token(digits, "logit_bias", prefix, vocabulary)
        biases[token] = float(number({"logit_bias": bias}, "logit_bias", prefix, (-100, 100)) or 0)
    return tuple(biases.items())


def _token(value: Any, name: str, prefix: str, vocabulary: int | None) -> int:
    last = (vocabulary or 2**31) - 1
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= last:
        raise BadRequest(
            f"{prefix}{name} names a token that is no whole number from 0 to {last}",
            field=f"{prefix}{name}",
        )
    return value
