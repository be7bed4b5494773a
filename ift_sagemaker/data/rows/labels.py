"""The numbers of labels: given, the labels' own, or in the order in which labels come."""

from __future__ import annotations

from collections.abc import Mapping

from ift_sagemaker.errors import ConfigError

LABELS_FILE = "labels.json"


class LabelError(ValueError):
    """A label that has no number."""


def label_map(values: Mapping[str, object]) -> dict[str, int]:
    """Name → number, from `{"name": 0}` or, as `labels.json` has it, `{"0": "name"}`.

    Raises ConfigError unless the numbers are 0 to n - 1, each once.
    """
    named = all(isinstance(value, str) for value in values.values())
    pairs = [(value, key) if named else (key, value) for key, value in values.items()]
    try:
        numbers = {str(name): int(str(number)) for name, number in pairs}
    except ValueError:
        numbers = {}
    if not numbers or sorted(numbers.values()) != list(range(len(values))):
        raise ConfigError(
            f"a map of labels gives each of n labels one number from 0 to n - 1, got {dict(values)}",
            field="labels",
            value=dict(values),
            allowed='{"negative": 0, "positive": 1}',
        )
    return numbers


class Labels:
    """Numbers labels as they come. `given` numbers are kept, and nothing else is then a label."""

    def __init__(self, given: Mapping[str, int] | None = None) -> None:
        self._given = given is not None
        self._numbers = dict(given or {})
        self._own: bool | None = None
        """Whether labels are numbers themselves, once one was seen."""

    def number(self, label: str) -> int:
        """The label's number. Raises LabelError where it has none."""
        if self._given:
            return self._given_number(label)
        own = label.isascii() and label.isdecimal()
        if self._own is None:
            self._own = own
        if self._own is not own:
            raise LabelError(f"the label {label!r}: some labels are numbers and some are not; give a map")
        if own:
            return self._numbers.setdefault(label, int(label))
        return self._numbers.setdefault(label, len(self._numbers))

    def _given_number(self, label: str) -> int:
        if label in self._numbers:
            return self._numbers[label]
        if label.isdecimal() and int(label) in self._numbers.values():
            return int(label)
        raise LabelError(f"the label {label!r}, which the map does not have ({', '.join(self._numbers)})")

    def gap(self) -> int | None:
        """The first number from 0 that no label has although a later one is used, if there is one."""
        used = set(self._numbers.values())
        return next((number for number in range(max(used, default=-1)) if number not in used), None)

    @property
    def names(self) -> dict[str, str]:
        """Number → name, as `labels.json` has it."""
        ordered = sorted(self._numbers.items(), key=lambda pair: pair[1])
        return {str(number): name for name, number in ordered}
