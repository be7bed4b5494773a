"""Bodies of `/invocations`: what is accepted and what is refused.

Three schemas: OpenAI chat completions, OpenAI completions, and `inputs` with `parameters` as TGI has it.
Sources: https://platform.openai.com/docs/api-reference/chat and
https://huggingface.github.io/text-generation-inference/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ift_sagemaker.container.encoding import ConversationEncoder
from ift_sagemaker.container.generation import GenerationRequest
from ift_sagemaker.container.parameters import (
    MAX_LOGPROBS,
    SAMPLING,
    BadRequest,
    boolean,
    number,
    refuse_others,
    settings,
)
from ift_sagemaker.errors import IFTError
from ift_sagemaker.wire.rows import Message

DEFAULT_MAX_TOKENS = {"chat": 512, "completion": 16, "text": 20}
"""Where a request names no limit: the defaults of vLLM's chat (up to the context), OpenAI and TGI."""
MAX_PROMPTS = 16
MAX_ANSWERS = 64
_COMMON = SAMPLING | {"model", "user", "max_tokens", "n", "logprobs", "stream", "stream_options"}
_TGI = frozenset(
    {
        "max_new_tokens",
        "temperature",
        "top_p",
        "top_k",
        "repetition_penalty",
        "do_sample",
        "stop",
        "seed",
        "return_full_text",
        "details",
    }
)
"""TGI's frequency_penalty is another than OpenAI's, and is refused."""


class Kind(StrEnum):
    CHAT = "chat"
    COMPLETION = "completion"
    TEXT = "text"


@dataclass(frozen=True)
class Served:
    """What a request is checked against: the model's context and vocabulary in tokens, None where unknown.

    `adapters` are those that a request may name as its `model`, `names` those of the model itself; where
    there are no adapters any name is the model's.
    """

    context: int | None = None
    vocabulary: int | None = None
    adapters: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def adapter(self, name: str) -> str:
        """The adapter that `name` asks for, empty for none. Raises BadRequest, a 404, for an unknown name."""
        if name in self.adapters:
            return name
        if not self.adapters or not name or name in self.names:
            return ""
        known = ", ".join((*self.names, *self.adapters))
        raise BadRequest(
            f"The model `{name}` does not exist. Served here: {known}",
            field="model",
            status=404,
            kind="model_not_found",
        )


@dataclass(frozen=True)
class Invocation:
    """A checked body: what to generate, and the schema to answer in.

    The `n` answers to the first prompt come first in `requests`, then those to the second.
    """

    kind: Kind
    requests: tuple[GenerationRequest, ...]
    model: str
    heads: tuple[str, ...] = ()
    """Texts to put in front of the answers (`return_full_text`)."""
    stream: bool = False
    usage: bool = False
    """Whether a stream ends with the counts of tokens."""
    n: int = 1
    details: bool = False
    """Whether TGI's details of the tokens are asked for."""


def parse_invocation(body: Any, encoder: ConversationEncoder, served: Served) -> Invocation:
    """The invocation of a decoded JSON body. Raises BadRequest naming the field that is wrong."""
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object", field="body")
    if "messages" in body:
        return _chat(body, encoder, served)
    if "prompt" in body:
        return _completion(body, encoder, served)
    if "inputs" in body:
        return _text(body, encoder, served)
    raise BadRequest("the body needs one of messages, prompt, inputs", field="messages")


def _chat(body: Mapping[str, Any], encoder: ConversationEncoder, served: Served) -> Invocation:
    refuse_others(body, _COMMON | {"messages", "max_completion_tokens", "top_logprobs"})
    prompt = _encoded(encoder, _messages(body["messages"]), "messages")
    limit = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    asked = settings(body, limit, served.vocabulary) | {"logprobs": _chat_logprobs(body)}
    asked["adapter"] = served.adapter(_model(body))
    return _openai(Kind.CHAT, body, _requests([prompt], asked, Kind.CHAT, served.context))


def _completion(body: Mapping[str, Any], encoder: ConversationEncoder, served: Served) -> Invocation:
    refuse_others(body, _COMMON | {"prompt"})
    prompts = [_read(encoder, text) for text in _texts(body["prompt"], "prompt")]
    logprobs = (
        None if body.get("logprobs") is False else number(body, "logprobs", "", (0, MAX_LOGPROBS), whole=True)
    )
    asked = settings(body, "max_tokens", served.vocabulary) | {"logprobs": logprobs}
    asked["adapter"] = served.adapter(_model(body))
    return _openai(Kind.COMPLETION, body, _requests(prompts, asked, Kind.COMPLETION, served.context))


def _openai(kind: Kind, body: Mapping[str, Any], requests: Sequence[GenerationRequest]) -> Invocation:
    value = number(body, "n", "", (1, MAX_ANSWERS), whole=True)
    n = 1 if value is None else value
    if n * len(requests) > MAX_ANSWERS:
        raise BadRequest(f"n={n} answers to {len(requests)} prompts; at most {MAX_ANSWERS} in all", field="n")
    several = tuple(_other(request, place) for request in requests for place in range(n))
    stream, usage = _streaming(body)
    return Invocation(kind, several, _model(body), (), stream, usage, n)


def _other(request: GenerationRequest, place: int) -> GenerationRequest:
    """The request for one more answer: other dice, as vLLM throws them."""
    return request if request.seed is None else replace(request, seed=(request.seed + place) % 2**63)


def _chat_logprobs(body: Mapping[str, Any]) -> int | None:
    wanted = boolean(body, "logprobs", "", default=False)
    top = number(body, "top_logprobs", "", (0, MAX_LOGPROBS), whole=True)
    if top and not wanted:
        raise BadRequest("top_logprobs goes with logprobs=true", field="top_logprobs")
    return (top or 0) if wanted else None


def _streaming(body: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether to stream, and whether with a last event that counts the tokens."""
    stream = boolean(body, "stream", "", default=False)
    options = body.get("stream_options")
    if options is None:
        return stream, False
    if not stream or not isinstance(options, dict):
        raise BadRequest("stream_options is an object and goes with stream=true", field="stream_options")
    refuse_others(options, {"include_usage"}, "stream_options.")
    return stream, boolean(options, "include_usage", "stream_options.", default=False)


def _text(body: Mapping[str, Any], encoder: ConversationEncoder, served: Served) -> Invocation:
    refuse_others(body, {"inputs", "parameters", "model", "stream"})
    given = body.get("parameters")
    parameters = {} if given is None else given
    if not isinstance(parameters, dict):
        raise BadRequest("parameters must be an object", field="parameters")
    refuse_others(parameters, _TGI, "parameters.")
    inputs = _texts(body["inputs"], "inputs")
    stream = boolean(body, "stream", "", default=False)
    if stream and len(inputs) > 1:
        raise BadRequest(f"inputs holds {len(inputs)} texts; a stream answers one", field="inputs")
    prompts = [_encoded(encoder, [Message(role="user", content=text)], "inputs") for text in inputs]
    details = boolean(parameters, "details", "parameters.", default=False)
    asked = _text_settings(parameters, served.vocabulary) | {"logprobs": 0 if details else None}
    asked["adapter"] = served.adapter(_model(body))
    full = boolean(parameters, "return_full_text", "parameters.", default=False)
    requests = _requests(prompts, asked, Kind.TEXT, served.context)
    heads = tuple(inputs) if full else ()
    return Invocation(Kind.TEXT, requests, _model(body), heads, stream, details=details)


def _text_settings(parameters: Mapping[str, Any], vocabulary: int | None) -> dict[str, Any]:
    asked = settings(parameters, "max_new_tokens", vocabulary, "parameters.")
    if not boolean(parameters, "do_sample", "parameters.", default=asked["temperature"] > 0):
        asked["temperature"] = 0.0
    elif parameters.get("temperature") is None:
        asked["temperature"] = 1.0
    return asked


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise BadRequest("messages must be a list of at least one message", field="messages")
    return [_message(turn, f"messages[{place}]") for place, turn in enumerate(value)]


def _message(turn: Any, field: str) -> Message:
    if not isinstance(turn, dict) or turn.get("role") not in ("system", "user", "assistant"):
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


def _read(encoder: ConversationEncoder, text: str) -> list[int]:
    try:
        return encoder.text(text)
    except (TypeError, ValueError, UnicodeError) as error:
        raise BadRequest(f"the text cannot be read: {error}", field="prompt") from error


def _encoded(encoder: ConversationEncoder, messages: Sequence[Message], field: str) -> list[int]:
    try:
        return encoder.prompt(messages)
    except IFTError as error:
        raise BadRequest(error.message, field=field) from error


def _model(body: Mapping[str, Any]) -> str:
    value = body.get("model") or ""
    if not isinstance(value, str):
        raise BadRequest("model must be a text", field="model")
    return value


def _requests(
    prompts: Sequence[Sequence[int]], asked: Mapping[str, Any], kind: Kind, context: int | None
) -> tuple[GenerationRequest, ...]:
    wanted = asked["max_new_tokens"]
    limits = [_limit(len(prompt), wanted, DEFAULT_MAX_TOKENS[kind], context) for prompt in prompts]
    return tuple(
        GenerationRequest(prompt, **{**asked, "max_new_tokens": limit})
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
