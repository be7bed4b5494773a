"""The events of a streamed answer, in the schema it was asked in.

Sources: https://platform.openai.com/docs/api-reference/chat-streaming and
https://huggingface.co/docs/text-generation-inference/conceptual/streaming
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ift_sagemaker.container.generation import FINISH_LENGTH, Answer
from ift_sagemaker.container.invocations import Invocation, Kind, usage


@dataclass(frozen=True)
class Piece:
    """Some more text of one answer. `token` is the last that went into it, `count` how many there were."""

    text: str
    token: int
    count: int


class Chunks(Protocol):
    """A schema: which documents open a stream, tell a piece, finish an answer, and close the stream."""

    def opening(self) -> list[Any]: ...
    def piece(self, index: int, piece: Piece, /) -> list[Any]: ...
    def finish(self, index: int, rest: Piece, answer: Answer, /) -> list[Any]: ...
    def closing(self, answers: Sequence[Answer], /) -> list[Any]: ...


def chunks_of(invocation: Invocation, identity: str, created: int) -> Chunks:
    """The schema of an invocation; `created` in Unix seconds."""
    if invocation.kind is Kind.TEXT:
        return TextChunks(invocation)
    return OpenAIChunks(invocation, identity, created)


@dataclass(frozen=True)
class OpenAIChunks:
    """Chat completions and completions."""

    invocation: Invocation
    identity: str
    created: int

    def opening(self) -> list[Any]:
        if self.invocation.kind is Kind.COMPLETION:
            return []
        return [self._chunk(0, {"delta": {"role": "assistant", "content": ""}})]

    def piece(self, index: int, piece: Piece) -> list[Any]:
        return [self._chunk(index, self._content(piece.text))]

    def finish(self, index: int, rest: Piece, answer: Answer) -> list[Any]:
        told = self.piece(index, rest) if rest.text else []
        last: dict[str, Any] = {"delta": {}} if self.invocation.kind is Kind.CHAT else {"text": ""}
        return [*told, self._chunk(index, last, answer.finish_reason)]

    def closing(self, answers: Sequence[Answer]) -> list[Any]:
        if not self.invocation.usage:
            return []
        return [{**self._head(), "choices": [], "usage": usage(self.invocation, answers)}]

    def _content(self, text: str) -> dict[str, Any]:
        return {"delta": {"content": text}} if self.invocation.kind is Kind.CHAT else {"text": text}

    def _chunk(self, index: int, content: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, **content, "logprobs": None, "finish_reason": reason}
        counts = {"usage": None} if self.invocation.usage else {}
        return {**self._head(), "choices": [choice], **counts}

    def _head(self) -> dict[str, Any]:
        is_chat = self.invocation.kind is Kind.CHAT
        return {
            "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{self.identity}",
            "object": "chat.completion.chunk" if is_chat else "text_completion",
            "created": self.created,
            "model": self.invocation.model,
        }


@dataclass(frozen=True)
class TextChunks:
    """TGI's token events; one of ours may hold the text of several tokens, and names the last of them."""

    invocation: Invocation

    def opening(self) -> list[Any]:
        return []

    def piece(self, _: int, piece: Piece, /) -> list[Any]:
        token = {"id": piece.token, "text": piece.text, "logprob": None, "special": False}
        return [{"index": piece.count, "token": token, "generated_text": None, "details": None}]

    def finish(self, index: int, rest: Piece, answer: Answer) -> list[Any]:
        (last,) = self.piece(index, replace(rest, count=answer.tokens))
        head = "".join(self.invocation.heads)
        seed = self.invocation.requests[index].seed
        details = {"finish_reason": _reason(answer), "generated_tokens": answer.tokens, "seed": seed}
        return [{**last, "generated_text": head + answer.text, "details": details}]

    def closing(self, _: Sequence[Answer], /) -> list[Any]:
        return []


def _reason(answer: Answer) -> str:
    if answer.finish_reason == FINISH_LENGTH:
        return "length"
    return "eos_token" if answer.ended else "stop_sequence"
