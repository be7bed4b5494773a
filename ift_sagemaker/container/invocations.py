"""Bodies of `/invocations`: what is accepted, what is refused, and what is answered.

Three schemas: OpenAI chat completions, OpenAI completions, and `inputs` with `parameters` as TGI has it.
Sources: https://platform.openai.com/docs/api-reference/chat and
https://huggingface.github.io/text-generation-inference/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ift_sagemaker.container.encoding import ConversationEncoder
from ift_sagemaker.container.generation import Answer, GenerationRequest
from ift_sagemaker.errors import IFTError
from ift_sagemaker.wire.rows import Message

DEFAULT_MAX_TOKENS = {"chat": 512, "completion": 16, "text": 20}
"""Where a request names no limit: the defaults of vLLM's chat (up to the context), OpenAI and TGI."""
MAX_STOPS = 16
MAX_PROMPTS = 16
_INERT: Mapping[str, tuple[Any, ...]] = {
    "n": (1, None),
    "best_of": (1, None),
    "frequency_penalty": (0, None),
    "presence_penalty": (0, None),
    "repetition_penalty": (1, None),
    "logprobs": (False, None, 0),
    "echo": (False, None),
    "watermark": (False, None),
    "details": (False, None),
    "tools": (None, []),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "response_format": (None, {"type": "text"}),
    "tool_choice": (None, "none", "auto"),
    "truncate": (None,),
    "typical_p": (None, 1),
    "top_k": (None, -1, 0),
    "suffix": (None,),
}
"""Known fields this server does not act on, with the values that ask for nothing."""
_COMMON = frozenset(
    {"model", "user", "max_tokens", "temperature", "top_p", "stop", "seed", "stream", "stream_options"}
)


class Kind(StrEnum):
    CHAT = "chat"
    COMPLETION = "completion"
    TEXT = "text"


class BadRequest(IFTError):  # noqa: N818 - named after the answer it becomes
    """A body that cannot be answered; `field` names the culprit, `status` and `kind` become the reply."""

    field: str
    status: int
    kind: str

    def __init__(
        self, message: str, *, field: str, status: int = 400, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message, field=field, status=status, kind=kind)


@dataclass(frozen=True)
class Invocation:
    """A checked body: what to generate, and the schema to answer in."""

    kind: Kind
    requests: tuple[GenerationRequest, ...]
    model: str
    heads: tuple[str, ...] = ()
    """Texts to put in front of the answers (`return_full_text`)."""
    stream: bool = False
    usage: bool = False
    """Whether a stream ends with the counts of tokens."""


def parse_invocation(body: Any, encoder: ConversationEncoder, context: int | None) -> Invocation:
    """The invocation of a decoded JSON body. Raises BadRequest naming the field that is wrong."""
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object", field="body")
    if "messages" in body:
        return _chat(body, encoder, context)
    if "prompt" in body:
        return _completion(body, encoder, context)
    if "inputs" in body:
        return _text(body, encoder, context)
    raise BadRequest("the body needs one of messages, prompt, inputs", field="messages")


def _chat(body: Mapping[str, Any], encoder: ConversationEncoder, context: int | None) -> Invocation:
    _refuse_others(body, _COMMON | {"messages", "max_completion_tokens"})
    prompt = _encoded(encoder, _messages(body["messages"]), "messages")
    limit = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    settings = _settings(body, limit)
    requests = _requests([prompt], settings, Kind.CHAT, context)
    return Invocation(Kind.CHAT, requests, _model(body), (), *_streaming(body))


def _completion(body: Mapping[str, Any], encoder: ConversationEncoder, context: int | None) -> Invocation:
    _refuse_others(body, _COMMON | {"prompt"})
    prompts = [encoder.text(text) for text in _texts(body["prompt"], "prompt")]
    settings = _settings(body, "max_tokens")
    requests = _requests(prompts, settings, Kind.COMPLETION, context)
    return Invocation(Kind.COMPLETION, requests, _model(body), (), *_streaming(body))


def _streaming(body: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether to stream, and whether with a last event that counts the tokens."""
    stream = _boolean(body, "stream", "", default=False)
    options = body.get("stream_options")
    if options is None:
        return stream, False
    if not stream or not isinstance(options, dict):
        raise BadRequest("stream_options is an object and goes with stream=true", field="stream_options")
    _refuse_others(options, {"include_usage"}, "stream_options.")
    return stream, _boolean(options, "include_usage", "stream_options.", default=False)


def _text(body: Mapping[str, Any], encoder: ConversationEncoder, context: int | None) -> Invocation:
    _refuse_others(body, {"inputs", "parameters", "model", "stream"})
    given = body.get("parameters")
    parameters = {} if given is None else given
    if not isinstance(parameters, dict):
        raise BadRequest("parameters must be an object", field="parameters")
    own = {"max_new_tokens", "temperature", "top_p", "do_sample", "stop", "seed", "return_full_text"}
    _refuse_others(parameters, own, "parameters.")
    inputs = _texts(body["inputs"], "inputs")
    stream = _boolean(body, "stream", "", default=False)
    if stream and len(inputs) > 1:
        raise BadRequest(f"inputs holds {len(inputs)} texts; a stream answers one", field="inputs")
    prompts = [_encoded(encoder, [Message(role="user", content=text)], "inputs") for text in inputs]
    settings = _settings(parameters, "max_new_tokens", "parameters.")
    if not _boolean(parameters, "do_sample", "parameters.", default=settings["temperature"] > 0):
        settings["temperature"] = 0.0
    elif "temperature" not in parameters:
        settings["temperature"] = 1.0
    full = _boolean(parameters, "return_full_text", "parameters.", default=False)
    requests = _requests(prompts, settings, Kind.TEXT, context)
    return Invocation(Kind.TEXT, requests, _model(body), tuple(inputs) if full else (), stream)


def _refuse_others(body: Mapping[str, Any], known: frozenset[str] | set[str], prefix: str = "") -> None:
    """An unknown field is refused where it would change the answer; one that asks for nothing may stay."""
    for name, value in body.items():
        if name in known or (name in _INERT and value in _INERT[name]):
            continue
        raise BadRequest(
            f"{prefix}{name}={value!r} is not supported by this server",
            field=f"{prefix}{name}",
            kind="not_supported",
        )


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise BadRequest("messages must be a list of at least one message", field="messages")
    return [_message(turn, f"messages[{place}]") for place, turn in enumerate(value)]


def _message(turn: Any, field: str) -> Message:
    if not isinstance(turn, dict) or turn.get("role") not in {"system", "user", "assistant"}:
        raise BadRequest(f"{field}.role must be system, user or assistant", field=f"{field}.role")
    if not isinstance(turn.get("content"), str):
        raise BadRequest(f"{field}.content must be a text", field=f"{field}.content")
    return Message(role=turn["role"], content=turn["content"])


def _texts(value: Any, field: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise BadRequest(f"{field} must be a text or a list of texts, none of them empty", field=field)
    if len(texts) > MAX_PROMPTS:
        raise BadRequest(f"{field} holds {len(texts)} texts; at most {MAX_PROMPTS}", field=field)
    return texts


def _encoded(encoder: ConversationEncoder, messages: Sequence[Message], field: str) -> list[int]:
    try:
        return encoder.prompt(messages)
    except IFTError as error:
        raise BadRequest(error.message, field=field) from error


def _settings(values: Mapping[str, Any], limit: str, prefix: str = "") -> dict[str, Any]:
    return {
        "max_new_tokens": _number(values, limit, prefix, (1, 1_000_000), whole=True),
        "temperature": _number(values, "temperature", prefix, (0, 100)) or 0.0,
        "top_p": _top_p(values, prefix),
        "stop": _stops(values, prefix),
        "seed": _number(values, "seed", prefix, (0, 2**63 - 1), whole=True),
    }


def _top_p(values: Mapping[str, Any], prefix: str) -> float:
    value = _number(values, "top_p", prefix, (0, 1))
    if value == 0:
        raise BadRequest(f"{prefix}top_p must be above 0 and at most 1, not 0", field=f"{prefix}top_p")
    return 1.0 if value is None else float(value)


def _number(
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


def _boolean(values: Mapping[str, Any], name: str, prefix: str, *, default: bool) -> bool:
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


def _model(body: Mapping[str, Any]) -> str:
    value = body.get("model") or ""
    if not isinstance(value, str):
        raise BadRequest("model must be a text", field="model")
    return value


def _requests(
    prompts: Sequence[Sequence[int]], settings: Mapping[str, Any], kind: Kind, context: int | None
) -> tuple[GenerationRequest, ...]:
    wanted = settings["max_new_tokens"]
    limits = [_limit(len(prompt), wanted, DEFAULT_MAX_TOKENS[kind], context) for prompt in prompts]
    return tuple(
        GenerationRequest(prompt, **{**settings, "max_new_tokens": limit})
        for prompt, limit in zip(prompts, limits, strict=True)
    )


def _limit(prompt: int, wanted: int | None, default: int, context: int | None) -> int:
    """Tokens to generate: as asked, or the default as far as the context has room."""
    if prompt == 0:
        raise BadRequest("the prompt has no tokens", field="prompt")
    room = context - prompt if context is not None else (wanted or default)
    if room < (wanted or 1):
        raise BadRequest(
            f"the prompt has {prompt} tokens and {wanted or 1} more are asked for, "
            f"but the model's context is {context} tokens",
            field="messages",
            kind="context_length_exceeded",
        )
    return wanted or min(default, room)


def reply(invocation: Invocation, answers: Sequence[Answer], identity: str, created: int) -> Any:
    """The JSON value to answer with; `created` in Unix seconds."""
    match invocation.kind:
        case Kind.CHAT:
            return _openai(invocation, answers, ("chat.completion", f"chatcmpl-{identity}", created))
        case Kind.COMPLETION:
            return _openai(invocation, answers, ("text_completion", f"cmpl-{identity}", created))
        case Kind.TEXT:
            heads = invocation.heads or ("",) * len(answers)
            return [
                {"generated_text": head + answer.text} for head, answer in zip(heads, answers, strict=True)
            ]


def usage(invocation: Invocation, answers: Sequence[Answer]) -> dict[str, int]:
    """OpenAI's counts of tokens."""
    prompt_tokens = sum(len(request.prompt) for request in invocation.requests)
    completion_tokens = sum(answer.tokens for answer in answers)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _openai(invocation: Invocation, answers: Sequence[Answer], head: tuple[str, str, int]) -> dict[str, Any]:
    return {
        "id": head[1],
        "object": head[0],
        "created": head[2],
        "model": invocation.model,
        "choices": [_choice(invocation.kind, index, answer) for index, answer in enumerate(answers)],
        "usage": usage(invocation, answers),
    }


def _choice(kind: Kind, index: int, answer: Answer) -> dict[str, Any]:
    content = (
        {"message": {"role": "assistant", "content": answer.text}}
        if kind is Kind.CHAT
        else {"text": answer.text}
    )
    return {"index": index, **content, "logprobs": None, "finish_reason": answer.finish_reason}
