"""Whole answers, in the schema they were asked in.

Sources: https://platform.openai.com/docs/api-reference/chat/object,
https://platform.openai.com/docs/api-reference/completions/object and
https://huggingface.github.io/text-generation-inference/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ift_sagemaker.container.generation import FINISH_LENGTH, Answer, Likely, Mark
from ift_sagemaker.container.invocations import Invocation, Kind

_INCOMPLETE = "\ufffd"


def reply(invocation: Invocation, answers: Sequence[Answer], identity: str, created: int) -> Any:
    """The JSON value to answer with; `created` in Unix seconds."""
    match invocation.kind:
        case Kind.CHAT:
            return _openai(invocation, answers, ("chat.completion", f"chatcmpl-{identity}", created))
        case Kind.COMPLETION:
            return _openai(invocation, answers, ("text_completion", f"cmpl-{identity}", created))
        case Kind.TEXT:
            return [_generated(invocation, place, answer) for place, answer in enumerate(answers)]


def usage(invocation: Invocation, answers: Sequence[Answer]) -> dict[str, int]:
    """OpenAI's counts of tokens; a prompt counts once, however many answers it gets."""
    prompt_tokens = sum(len(request.prompt) for request in invocation.requests[:: invocation.n])
    completion_tokens = sum(answer.tokens for answer in answers)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def logprobs(kind: Kind, marks: Sequence[Mark]) -> dict[str, Any]:
    """OpenAI's logprobs of some tokens: one shape for chats, an older one for completions."""
    if kind is Kind.CHAT:
        content = [{**_likely(mark.chosen), "top_logprobs": [*map(_likely, mark.top)]} for mark in marks]
        return {"content": content, "refusal": None}
    return {
        "tokens": [mark.chosen.text for mark in marks],
        "token_logprobs": [mark.chosen.logprob for mark in marks],
        "top_logprobs": [_top(mark) for mark in marks],
        "text_offset": [mark.offset for mark in marks],
    }


def details(invocation: Invocation, index: int, answer: Answer) -> dict[str, Any]:
    """TGI's details of an answer, without its tokens."""
    seed = invocation.requests[index].seed
    return {"finish_reason": _reason(answer), "generated_tokens": answer.tokens, "seed": seed}


def token(mark: Mark) -> dict[str, Any]:
    """TGI's description of a token."""
    chosen = mark.chosen
    return {"id": chosen.token, "text": chosen.text, "logprob": chosen.logprob, "special": mark.special}


def _likely(likely: Likely) -> dict[str, Any]:
    # a part of a character has no text of its own, and its bytes are not known here
    whole = None if _INCOMPLETE in likely.text else [*likely.text.encode()]
    return {"token": likely.text, "logprob": likely.logprob, "bytes": whole}


def _top(mark: Mark) -> dict[str, float]:
    """The likeliest by their texts, and the chosen one, as vLLM does; of equal texts the likeliest."""
    found: dict[str, float] = {}
    for likely in sorted((*mark.top, mark.chosen), key=lambda likely: -likely.logprob):
        found.setdefault(likely.text, likely.logprob)
    return found


def _openai(invocation: Invocation, answers: Sequence[Answer], head: tuple[str, str, int]) -> dict[str, Any]:
    return {
        "id": head[1],
        "object": head[0],
        "created": head[2],
        "model": invocation.model,
        "choices": [_choice(invocation, index, answer) for index, answer in enumerate(answers)],
        "usage": usage(invocation, answers),
    }


def _choice(invocation: Invocation, index: int, answer: Answer) -> dict[str, Any]:
    kind = invocation.kind
    content = (
        {"message": {"role": "assistant", "content": answer.text}}
        if kind is Kind.CHAT
        else {"text": answer.text}
    )
    asked = invocation.requests[index].logprobs is not None
    told = logprobs(kind, answer.marks) if asked else None
    return {"index": index, **content, "logprobs": told, "finish_reason": answer.finish_reason}


def _generated(invocation: Invocation, index: int, answer: Answer) -> dict[str, Any]:
    head = invocation.heads[index] if invocation.heads else ""
    generated: dict[str, Any] = {"generated_text": head + answer.text}
    if invocation.details:
        tokens = [token(mark) for mark in answer.marks]
        generated["details"] = {**details(invocation, index, answer), "prefill": [], "tokens": tokens}
    return generated


def _reason(answer: Answer) -> str:
    if answer.finish_reason == FINISH_LENGTH:
        return "length"
    return "eos_token" if answer.ended else "stop_sequence"
