"""Hyperparameters as each model's own spec has them, and the check of values against them.

Names, types and ranges differ from model to model. What is not at hand is refused, not guessed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Literal

from ift_sagemaker.catalog.facts import load
from ift_sagemaker.catalog.models import CATALOGUE_VARIABLE, FoundationModel, own_content, own_file
from ift_sagemaker.catalog.recipes import Recipe
from ift_sagemaker.errors import ConfigError, UnsupportedError

Kind = Literal["int", "float", "text", "bool"]
Value = str | int | float | bool
_KINDS: dict[str, str] = {"int": "an integer", "float": "a number", "bool": "True or False", "text": "a text"}
_TRUTH = ("True", "False")


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter. Bounds are inclusive; `or_text` is a word allowed beside numbers.

    `set_by` is not empty where the plan sets it and nobody else may.
    """

    name: str
    kind: Kind
    default: Value | None = None
    minimum: float | None = None
    maximum: float | None = None
    options: tuple[Value, ...] = ()
    or_text: str = ""
    set_by: str = ""

    @property
    def allowed(self) -> str:
        """In words."""
        beside = f", or {self.or_text}" if self.or_text else ""
        if self.options:
            return f"one of {', '.join(map(str, self.options))}{beside}"
        return f"{_KINDS[self.kind]}{self._range()}{beside}"

    def _range(self) -> str:
        match self.minimum, self.maximum:
            case None, None:
                return ""
            case low, None:
                return f" of {low:g} or more"
            case None, high:
                return f" of {high:g} or less"
            case low, high:
                return f" from {low:g} to {high:g}"

    def parse(self, value: Any) -> Value:
        """The typed value of a text or of a value already typed; raises ValueError where it is not one."""
        if self.or_text and str(value).lower() == self.or_text.lower():
            return self.or_text
        typed = self._typed(value)
        if self.options:
            return self._option(typed)
        if not isinstance(typed, (str, bool)):
            below = self.minimum is not None and typed < self.minimum
            above = self.maximum is not None and typed > self.maximum
            if below or above or typed != typed:  # noqa: PLR0124 - NaN
                raise ValueError(value)
        return typed

    def _typed(self, value: Any) -> Value:
        if self.kind == "text":
            return str(value)
        if self.kind == "bool":
            return self._truth(value)
        if isinstance(value, bool) or (self.kind == "int" and isinstance(value, float) and value % 1):
            raise ValueError(value)
        try:
            return int(value) if self.kind == "int" else float(value)
        except TypeError as error:
            raise ValueError(value) from error

    def _truth(self, value: Any) -> bool:
        if str(value).strip().lower() not in ("true", "false"):
            raise ValueError(value)
        return str(value).strip().lower() == "true"

    def _option(self, typed: Value) -> Value:
        for option in self.options:
            same_word = option in _TRUTH and str(typed).lower() == str(option).lower()
            if typed == option or same_word:
                return option
        raise ValueError(typed)


@dataclass(frozen=True)
class Table:
    """The hyperparameters of one model on one route, in the spec's order.

    `rules` are mappings with one key: `at_most_one_true` (names), `multiple_of` (name, number).
    """

    key: str
    source: str
    date: str
    parameters: tuple[Parameter, ...]
    rules: tuple[Mapping[str, Any], ...] = ()
    version: str = ""
    note: str = ""
    complete: bool = True

    @property
    def settable(self) -> tuple[Parameter, ...]:
        """Those that a user may set."""
        return tuple(parameter for parameter in self.parameters if not parameter.set_by)

    @property
    def defaults(self) -> dict[str, Value]:
        return {entry.name: entry.default for entry in self.settable if entry.default is not None}

    def check(
        self, values: Mapping[str, Any], *, at_most: Mapping[str, float] | None = None
    ) -> dict[str, Value]:
        """The typed values, of those given alone.

        `at_most` narrows maxima, as a recipe's length does. Raises ConfigError naming every wrong name with
        the nearest right one, every wrong value with what is allowed, and every rule broken.
        """
        known = {entry.name: entry for entry in self.settable}
        typed, problems = {}, []
        for name, value in values.items():
            if name not in known:
                problems.append((name, value, self._unknown(name, known)))
                continue
            try:
                typed[name] = known[name].parse(value)
            except ValueError:
                problems.append((name, value, f"{name}={value!r}: must be {known[name].allowed}"))
        for name, text in _broken({**self.defaults, **typed}, self.rules, at_most or {}):
            problems.append((name, typed.get(name), text))
        if problems:
            raise _all(self.key, problems, known)
        return typed

    def _unknown(self, name: str, known: Mapping[str, Parameter]) -> str:
        if any(entry.name == name for entry in self.parameters):
            return f"{name}: is set by the plan itself"
        near = get_close_matches(name, known, n=1, cutoff=0.4)
        return f"no hyperparameter {name!r}; " + (
            f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        )


def to_wire(values: Mapping[str, Value]) -> dict[str, str]:
    """The string map of CreateTrainingJob: floats as Python writes them, truth as "True" and "False"."""
    return {name: repr(value) if isinstance(value, float) else str(value) for name, value in values.items()}


def to_bedrock(values: Mapping[str, Value]) -> dict[str, str]:
    """The string map of CreateModelCustomizationJob: numbers without an exponent, as its guide has them."""
    return {
        name: format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)
        for name, value in values.items()
    }


def jumpstart_table(model: FoundationModel) -> Table:
    """Raises UnsupportedError where the model's spec is not at hand, or only a part of it."""
    return _complete(f"jumpstart/{model.model_id}", model.model_id, "JumpStart")


def bedrock_table(model: FoundationModel) -> Table:
    """Raises UnsupportedError where Bedrock's guide lists no hyperparameters for the model."""
    for key, row in _rows().items():
        if key.startswith("bedrock/") and model.model_id in row.get("models", ()):
            return _complete(key, model.model_id, "Bedrock")
    return _complete(f"bedrock/{model.model_id}", model.model_id, "Bedrock")


def recipe_table(model: FoundationModel, recipe: Recipe) -> Table:
    """Raises UnsupportedError where no template of that kind of recipe is at hand."""
    return _complete(f"recipe/{_template(model, recipe)}", model.model_id, recipe.name)


def _template(model: FoundationModel, recipe: Recipe) -> str:
    technique = {"RLVR": "grpo_rlvr", "RLAIF": "grpo_rlaif", "CPT": "pretrain"}.get(
        recipe.technique, recipe.technique.lower()
    )
    lora, full = recipe.peft == "LORA", not recipe.peft
    if recipe.framework == "nova":
        second = "_2_0" if "_2_0_" in recipe.recipe and technique in ("sft", "pretrain") else ""
        job = "smtj_" if "_smtj_" in recipe.recipe else ""
        return f"nova_{job}{'lora_' if lora else ''}{technique}{second}"
    if recipe.framework == "verl" or technique.startswith("grpo"):
        return f"{technique}{'_fft' if full else ''}"
    if recipe.framework == "llmft":
        return {
            "sft": f"llmft_sft_{'lora' if lora else 'fft'}",
            "dpo": f"llmft_dpo{'_fft' if full else ''}",
        }.get(technique, f"llmft_{technique}")
    return f"{model.model_id}/{recipe.name}"


def _complete(key: str, model_id: str, where: str) -> Table:
    found = _rows().get(key)
    if found is None or not found.get("complete", True):
        seen = ", ".join(row["name"] for row in found["parameters"]) if found else ""
        part = f"only {seen} are known" if seen else "no list of them is known"
        raise UnsupportedError(
            f"the hyperparameters of {model_id} ({where}) are not in this catalogue: {part}, and none is "
            f"guessed. Put the list into your catalogue file ({CATALOGUE_VARIABLE}) under "
            f"hyperparameters: {key}",
            feature=f"hyperparameters of {model_id}",
        )
    return _table(key, found)


def _table(key: str, row: Mapping[str, Any]) -> Table:
    known = ("source", "date", "version", "note", "complete")
    return Table(
        key=key,
        parameters=tuple(_parameter(entry) for entry in row["parameters"]),
        rules=tuple(row.get("rules", ())),
        **{name: row[name] for name in known if name in row},
    )


def _parameter(entry: Mapping[str, Any]) -> Parameter:
    """A number stated for one model only is not held against another: those are left to the service."""
    plain = {name: value for name, value in entry.items() if name != "options_by_model"}
    return Parameter(**{**plain, "options": tuple(entry.get("options", ()))})


def _rows() -> Mapping[str, Any]:
    own = own_content(own_file(os.environ))
    shipped: Mapping[str, Any] = load("hyperparameters.json")
    return shipped if own is None else {**shipped, **own.hyperparameters}


def _broken(
    values: Mapping[str, Value], rules: tuple[Mapping[str, Any], ...], at_most: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    for rule in rules:
        names = rule.get("at_most_one_true", ())
        true = [name for name in names if str(values.get(name)) == "True"]
        if len(true) > 1:
            yield true[0], f"{' and '.join(true)}: at most one of them is True"
        if "multiple_of" in rule:
            name, step = rule["multiple_of"]
            value = values.get(name)
            if isinstance(value, int) and value % step:
                yield name, f"{name}={value}: must be a multiple of {step}"
    for name, most in at_most.items():
        value = values.get(name)
        if isinstance(value, (int, float)) and value > most:
            yield name, f"{name}={value}: this recipe holds {most:g} at most"


def _all(key: str, problems: list[tuple[str, Any, str]], known: Mapping[str, Parameter]) -> ConfigError:
    name, value, _ = problems[0]
    word = "hyperparameter is" if len(problems) == 1 else "hyperparameters are"
    lines = "".join(f"\n  - {text}" for _, _, text in problems)
    allowed = known[name].allowed if name in known else ", ".join(known)
    return ConfigError(
        f"{len(problems)} {word} wrong ({key}):{lines}", field=name, value=value, allowed=allowed
    )
