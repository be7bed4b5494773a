"""A model's tokenizer and chat template without the model: `tokenizer.json` and what lies beside it.

It has of a tokenizer of transformers what `wire.encoding` asks for, so that rows are shown and counted by the
code that trains on them. A chat template is a program of whoever made the model: it runs in Jinja's sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from ift_sagemaker.errors import ConfigError, TemplateError, UnsupportedError
from ift_sagemaker.wire.encoding import ConversationEncoder
from ift_sagemaker.wire.template import chat_fingerprint

TOKENIZER_FILE = "tokenizer.json"
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class ModelTokenizer:
    """The tokenizer of a model folder, or of a `tokenizer.json` with what lies beside it.

    Raises ConfigError where there is none or it is damaged, UnsupportedError without the extra `data`.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        given = Path(path)
        self.folder = given if given.is_dir() else given.parent
        file = given / TOKENIZER_FILE if given.is_dir() else given
        self.path = str(given)
        self.rust = _loaded(file)
        self._config = _json(self.folder / "tokenizer_config.json")

    @cached_property
    def chat_template(self) -> str | None:
        """The text of the chat template; None where the model has none."""
        beside = self.folder / "chat_template.jinja"
        if beside.is_file():
            return beside.read_text("utf-8")
        found = self._config.get("chat_template")
        if isinstance(found, list):  # several by name; the trainer takes the default one as well
            named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
            found = named.get("default")
        return found if isinstance(found, str) else None

    @property
    def fingerprint(self) -> str:
        """That of the chat template, as a tuned model's card records it."""
        return chat_fingerprint(self.chat_template)

    @cached_property
    def special_tokens(self) -> dict[str, str]:
        """Special tokens by their names in templates, such as `eos_token`."""
        found = {name: self._config.get(name) for name in _SPECIAL}
        texts = {
            name: value["content"] if isinstance(value, dict) else value for name, value in found.items()
        }
        return {name: value for name, value in texts.items() if isinstance(value, str)}

    @cached_property
    def eos_token_id(self) -> int | None:
        token = self.special_tokens.get("eos_token")
        found: int | None = None if token is None else self.rust.token_to_id(token)
        return found

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens at which the model's answers end: those of its generation config and the tokenizer's own."""
        for name in ("generation_config.json", "config.json"):
            if (self.folder / name).is_file():
                listed = _json(self.folder / name).get("eos_token_id")
                break
        else:
            listed = None
        ids = listed if isinstance(listed, list) else [listed]
        return frozenset(token for token in (*ids, self.eos_token_id) if isinstance(token, int))

    @cached_property
    def encoder(self) -> ConversationEncoder:
        """The trainer's encoder over this tokenizer."""
        return ConversationEncoder(self, self.stop_ids)

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": self.rust.encode(text, add_special_tokens=add_special_tokens).ids}

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], *, tokenize: bool = False, add_generation_prompt: bool
    ) -> str:
        """The text of a conversation; raises whatever the template raises."""
        if tokenize:
            raise UnsupportedError(
                "apply_chat_template gives the text alone", feature="apply_chat_template(tokenize=True)"
            )
        text: str = self._template.render(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **self.special_tokens,
        )
        return text

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        text: str = self.rust.decode(list(ids), skip_special_tokens=False)
        return text

    @cached_property
    def _template(self) -> Any:
        if self.chat_template is None:
            raise TemplateError(f"{self.path} has no chat template")
        return _compiled(self.chat_template)


def _compiled(text: str) -> Any:
    """The template as transformers compiles it: the same switches, filter and functions."""
    try:
        from jinja2 import TemplateSyntaxError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        from ift_sagemaker.data.tokens.generation_tag import GenerationTag
    except ImportError:
        raise _needs("jinja2", "a chat template") from None
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols], autoescape=False
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    try:
        return environment.from_string(text)
    except TemplateSyntaxError as error:
        raise TemplateError(f"the model's chat template cannot be parsed: {error}") from error


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - templates pass it as they do to transformers' filter
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> None:
    raise TemplateError(message)


def _loaded(file: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise _needs("tokenizers", "a tokenizer") from None
    if not file.is_file():
        raise ConfigError(
            f"{file} is not there: a tokenizer is a folder with {TOKENIZER_FILE}, or that file",
            field="tokenizer",
            value=str(file),
        )
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises Exception itself
        raise ConfigError(f"{file} is no tokenizer: {error}", field="tokenizer", value=str(file)) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} is not JSON: {error}", field="tokenizer", value=str(file)) from error
    return value if isinstance(value, dict) else {}


def _needs(package: str, what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what} needs the package {package}: pip install 'ift-sagemaker[data]'", feature=package
    )
