"""The events of a streamed answer, in the schema it was asked in.

Sources: https://platform.openai.com/docs/api-reference/chat-streaming and
https://huggingface.co/docs/text-generation-inference/conceptual/streaming
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ift_sagemaker.container.generation import Answer, Mark
from ift_sagemaker.container.invocations import Invocation, Kind
from ift_sagemaker.container.replies import details, logprobs, token, usage


@dataclass(frozen=True)
class Piece:
    """Some more text of one answer. `token` is the last that went into it, `count` how many there were.

    `marks` are of the tokens since the piece before, where the request asked for logprobs.
    """

    text: str
    token: int
    count: int
    marks: tuple[Mark, ...] = ()


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
        first = {"delta": {"role": "assistant", "content": ""}}
        return [self._chunk(index, first) for index in range(len(self.invocation.requests))]

    def piece(self, index: int, piece: Piece) -> list[Any]:
        return [self._chunk(index, self._content(piece.text), piece.marks)]

    def finish(self, index: int, rest: Piece, answer: Answer) -> list[Any]:
        told = self.piece(index, rest) if rest.text or rest.marks else []
        last: dict[str, Any] = {"delta": {}} if self.invocation.kind is Kind.CHAT else {"text": ""}
        return [*told, self._chunk(index, last, (), answer.finish_reason)]

    def closing(self, answers: Sequence[Answer]) -> list[Any]:
        if not self.invocation.usage:
            return []
        return [{**self._head(), "choices": [], "usage": usage(self.invocation, answers)}]

    def _content(self, text: str) -> dict[str, Any]:
        return {"delta": {"content": text}} if self.invocation.kind is Kind.CHAT else {"text": text}

    def _chunk(
        self, index: int, content: dict[str, Any], marks: Sequence[Mark] = (), reason: str | None = None
    ) -> dict[str, Any]:
        told = logprobs(self.invocation.kind, marks) if marks else None
        choice = {"index": index, **content, "logprobs": told, "finish_reason": reason}
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
        told = (
            token(piece.marks[-1]) if piece.marks else {"id": piece.token, "logprob": None, "special": False}
        )
        event = {"token": {**told, "text": piece.text}, "generated_text": None, "details": None}
        return [{"index": piece.count, **event}]

    def finish(self, index: int, rest: Piece, answer: Answer) -> list[Any]:
        (last,) = self.piece(index, rest)
        head = "".join(self.invocation.heads)
        told = details(self.invocation, index, answer)
        return [{**last, "generated_text": head + answer.text, "details": told}]

    def closing(self, _: Sequence[Answer], /) -> list[Any]:
        return []
