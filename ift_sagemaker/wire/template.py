"""JumpStart prompt templates: `{field}` placeholders that name row fields, `{{` and `}}` for braces."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from string import Formatter
from typing import Any

from ift_sagemaker.errors import TemplateError

TEMPLATE_FILE = "template.json"


def _fields(text: str, part: str) -> tuple[str, ...]:
    try:
        parsed = list(Formatter().parse(text))
    except ValueError as error:
        raise TemplateError(f"template {part} {text!r} cannot be parsed: {error}") from error
    names = []
    for _, name, spec, conversion in parsed:
        if name is None:
            continue
        if not name or spec or conversion or not name.replace("_", "a").replace("-", "a").isalnum():
            raise TemplateError(
                f"template {part} {text!r}: a placeholder is a field name in braces, as in {{instruction}}",
                field=name,
            )
        names.append(name)
    return tuple(dict.fromkeys(names))


def _pieces(text: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((literal, name) for literal, name, _, _ in Formatter().parse(text))


def _render(pieces: Iterable[tuple[str, str | None]], row: Mapping[str, Any]) -> str:
    filled = []
    for literal, name in pieces:
        filled.append(literal)
        if name is not None:
            if name not in row:
                raise TemplateError(f"the row has no field {name!r}; it has {sorted(row)}", field=name)
            value = row[name]
            filled.append("" if value is None else str(value))
    return "".join(filled)


@dataclass(frozen=True)
class PromptTemplate:
    """How a row becomes a prompt and the completion to learn.

    `prompt` and `completion` are texts with `{field}` placeholders. Raises TemplateError on construction
    when one cannot be parsed. The JSON form is JumpStart's `template.json`.
    """

    prompt: str
    completion: str

    def __post_init__(self) -> None:
        _fields(self.prompt, "prompt")
        if not _fields(self.completion, "completion"):
            raise TemplateError("the completion names no field, so every row would teach the same answer")

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Row fields the template reads, in order of first use."""
        return tuple(dict.fromkeys(_fields(self.prompt, "prompt") + _fields(self.completion, "completion")))

    @cached_property
    def prompt_fields(self) -> tuple[str, ...]:
        return _fields(self.prompt, "prompt")

    @cached_property
    def _prompt_pieces(self) -> tuple[tuple[str, str | None], ...]:
        return _pieces(self.prompt)

    @cached_property
    def _completion_pieces(self) -> tuple[tuple[str, str | None], ...]:
        return _pieces(self.completion)

    def check(self, columns: Iterable[str]) -> None:
        """Raises TemplateError naming the first placeholder that has no column."""
        present = sorted(set(columns))
        for field in self.fields:
            if field not in present:
                raise TemplateError(
                    f"the template names {{{field}}}, which is no column; there are {', '.join(present)}",
                    field=field,
                )

    def render_prompt(self, row: Mapping[str, Any]) -> str:
        """The prompt of one row; blank lines at either end (an empty `input`) are cut off."""
        return _render(self._prompt_pieces, row).strip("\n")

    def render_completion(self, row: Mapping[str, Any]) -> str:
        return _render(self._completion_pieces, row)

    def to_json(self) -> str:
        return json.dumps(
            {"prompt": self.prompt, "completion": self.completion}, ensure_ascii=False, sort_keys=True
        )

    @classmethod
    def from_json(cls, text: str) -> PromptTemplate:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise TemplateError(f"template.json is not JSON: {error}") from error
        if (
            not isinstance(value, dict)
            or set(value) != {"prompt", "completion"}
            or not all(isinstance(part, str) for part in value.values())
        ):
            raise TemplateError('template.json must be {"prompt": "…", "completion": "…"}')
        return cls(value["prompt"], value["completion"])

    @property
    def fingerprint(self) -> str:
        """First 12 hex digits of the SHA-256 of the JSON form."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]


ALPACA = PromptTemplate(prompt="{instruction}\n\n{input}", completion="{output}")
"""The default for Alpaca rows; the chat template of the model adds the turn markers."""

_BELOW = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
)
TEMPLATES: Mapping[str, PromptTemplate] = {
    "plain": ALPACA,
    "alpaca": PromptTemplate(
        prompt=_BELOW + "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n",
        completion="{output}",
    ),
    "dolly": PromptTemplate(
        prompt=_BELOW + "### Instruction:\n{instruction}\n\n### Input:\n{context}\n\n",
        completion=" {response}",
    ),
}
"""Ready ones by name: instruction and input alone; Stanford Alpaca's words for rows with an input
(https://github.com/tatsu-lab/stanford_alpaca); and those of JumpStart's notebooks for Dolly's fields.
Line breaks at the ends of a prompt are cut off, as everywhere.
"""


def named(name: str) -> PromptTemplate:
    """The ready template of this name; raises TemplateError with the names there are."""
    try:
        return TEMPLATES[name]
    except KeyError:
        raise TemplateError(
            f"no template {name!r}: there are {', '.join(TEMPLATES)}, and any file like {TEMPLATE_FILE}"
        ) from None


NO_CHAT_TEMPLATE = "none"
"""The fingerprint of a tokenizer without a chat template."""


def chat_fingerprint(template: str | Mapping[str, str] | None) -> str:
    """First 12 hex digits of the SHA-256 of a chat template, or of several by their names."""
    if not template:
        return NO_CHAT_TEMPLATE
    text = template if isinstance(template, str) else json.dumps(dict(template), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
