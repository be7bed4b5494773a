"""One conversation as tokens, and which of them are learnt: what is trained, shown and asked comes from here.

Labels are never masked by token id: where the pad token is also the end token (SmolLM2 and many others)
that would hide every end of turn, and the tuned model would never stop.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ift_sagemaker.errors import DatasetError, TemplateError
from ift_sagemaker.wire.rows import Message


@dataclass(frozen=True)
class EncodedRow:
    """Token `ids` of one conversation; `trained` holds half-open spans of the ids to learn, in order.

    `ended` is True where the last span closes with a token that generation stops at.
    """

    ids: array[int]
    trained: tuple[tuple[int, int], ...]
    ended: bool

    @property
    def trained_count(self) -> int:
        return sum(end - start for start, end in self.trained)

    def truncated(self, length: int) -> EncodedRow:
        """The first `length` tokens; may have nothing left to learn."""
        spans = tuple((start, min(end, length)) for start, end in self.trained if start < length)
        return EncodedRow(self.ids[:length], spans, self.ended and len(self.ids) <= length)


class ConversationEncoder:
    """Turns chat messages into tokens by the model's own chat template.

    A tokenizer without one takes a single question and answer as plain text: prompt, completion, end token.
    `tokenizer` is one of transformers, or has its `chat_template`, `eos_token_id`, `apply_chat_template` and
    call.
    """

    def __init__(self, tokenizer: Any, stop_ids: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._stop_ids = frozenset(stop_ids)

    @property
    def has_template(self) -> bool:
        return bool(self._tokenizer.chat_template)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens after which the model answers `messages`."""
        if self.has_template:
            return self._tokens(self._render(messages, answer_follows=True))
        return self.text(self._single(messages)["content"])

    def text(self, text: str) -> list[int]:
        """Tokens of a plain text, with whatever the tokenizer puts in front of one."""
        return list(self._tokenizer(text)["input_ids"])

    def row(self, messages: Sequence[Message]) -> EncodedRow:
        """All tokens up to the last trained one.

        Raises TemplateError where the template rewrites earlier turns, so that what is learnt would not be
        what is asked; DatasetError where there is no assistant turn.
        """
        if not any(message["role"] == "assistant" for message in messages):
            raise DatasetError("no assistant turn to learn")
        return self._chat_row(messages) if self.has_template else self._plain_row(messages)

    def _chat_row(self, messages: Sequence[Message]) -> EncodedRow:
        ids: list[int] = []
        seen = ""
        spans = []
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._render(messages[:index], answer_follows=True)
            ids = self._extended(ids, seen, prompt)
            start = len(ids)
            seen = self._render(messages[: index + 1], answer_follows=False)
            ids = self._extended(ids, prompt, seen)
            spans.append((start, self._end(ids, start)))
        end = spans[-1][1]
        return EncodedRow(array("i", ids[:end]), tuple(spans), ids[end - 1] in self._stop_ids)

    def _extended(self, ids: list[int], seen: str, text: str) -> list[int]:
        """Tokens of `text`, of which `seen` (with its `ids`) must be the beginning."""
        if not text.startswith(seen):
            raise TemplateError(
                "the chat template does not keep earlier turns as they were once a later one is added, "
                "so the answer cannot be told from the prompt; train single-turn rows or use another template"
            )
        whole = self._tokens(text)
        # a merge over the seam ("\n" + "\n") would change the prompt's own tokens, which serving does not
        return whole if whole[: len(ids)] == ids else ids + self._tokens(text[len(seen) :])

    def _end(self, ids: list[int], start: int) -> int:
        stops = [index for index in range(start, len(ids)) if ids[index] in self._stop_ids]
        return stops[-1] + 1 if stops else len(ids)

    def _plain_row(self, messages: Sequence[Message]) -> EncodedRow:
        prompt = self.text(self._single(messages[:-1])["content"])
        if self._tokenizer.eos_token_id is None:
            raise TemplateError("the tokenizer has neither a chat template nor an end token")
        answer = self._tokens(messages[-1]["content"])
        ids = [*prompt, *answer, self._tokenizer.eos_token_id]
        return EncodedRow(array("i", ids), ((len(prompt), len(ids)),), ended=True)

    def _single(self, messages: Sequence[Message]) -> Message:
        if len(messages) != 1 or messages[0]["role"] != "user":
            raise TemplateError(
                "the tokenizer has no chat template, so a row is one user turn and one assistant turn"
            )
        return messages[0]

    def rendered(self, messages: Sequence[Message]) -> str:
        """The text of a whole conversation. Raises TemplateError where the template refuses it."""
        return self._render(messages, answer_follows=False)

    def _render(self, messages: Sequence[Message], *, answer_follows: bool) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=answer_follows
            )
        except Exception as error:  # a template is a program of its own and fails in its own ways
            raise TemplateError(f"the model's chat template refuses the conversation: {error}") from error
        return text

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
