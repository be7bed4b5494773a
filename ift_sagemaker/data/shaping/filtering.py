"""`filter_rows`: the rows that meet every condition. Conditions are parsed, never evaluated as code."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from ift_sagemaker.data.reading.sources import Source
from ift_sagemaker.data.rows.fields import FieldMap, value_at
from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.data.shaping.sight import Sight, plain_text
from ift_sagemaker.data.shaping.work import Destination, Reading, Seeing, Shaped, Work
from ift_sagemaker.data.writing.desk import Desk, place_of
from ift_sagemaker.data.writing.rowfile import compression_of, lines_to
from ift_sagemaker.errors import ConfigError

_FORM = re.compile(
    r"(?P<len>len\()?(?P<field>[^=!<>~()]+?)(?(len)\))\s*(?P<sign>!=|!~|<=|>=|==|=|~|<|>)\s*(?P<value>.*)",
    re.DOTALL,
)
_NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
ALLOWED = "FIELD=VALUE, FIELD!=VALUE, FIELD~TEXT, FIELD!~TEXT, FIELD>=NUMBER, len(FIELD)<=NUMBER (also <, >)"


@dataclass(frozen=True)
class Condition:
    """One condition on a field of a row, a dotted path.

    `=` and `!=` compare texts, numbers as numbers; `~` and `!~` look for a text inside; `<`, `<=`, `>`, `>=`
    compare numbers, also those written as texts. `len(FIELD)` is the length of a text or list. A row without
    the field meets `!=` and `!~` alone.
    """

    text: str
    field: str
    sign: str
    value: str
    of_length: bool = False

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition in a text such as `len(output)<=500`; raises ConfigError where there is none."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise _refused(text, f"write {ALLOWED}")
        sign = "=" if found["sign"] == "==" else found["sign"]
        condition = cls(text, found["field"].strip(), sign, found["value"], bool(found["len"]))
        condition._check()
        return condition

    def _check(self) -> None:
        if self.of_length and self.sign in ("~", "!~"):
            raise _refused(self.text, "a length is a number")
        if (self.of_length or self.sign[0] in "<>") and _number(self.value) is None:
            raise _refused(self.text, f"{self.value!r} is no number")

    def is_met(self, value: Any) -> bool:
        """Whether a field's value meets it; a value of None is no value."""
        if self.of_length:
            value = len(value) if isinstance(value, (str, list)) else None
        if value is None:
            return self.sign[0] == "!"
        if self.sign in ("~", "!~"):
            return (self.value in plain_text(value)) == (self.sign == "~")
        wanted, found = _number(self.value), _number(value)
        if self.sign in ("=", "!=") and (isinstance(value, str) or wanted is None or found is None):
            return (plain_text(value) == self.value) == (self.sign == "=")
        return wanted is not None and found is not None and _NUMBERS[self.sign](found, wanted)


def filter_rows(
    source: Source,
    destination: Destination,
    *,
    where: Sequence[str | Condition] = (),
    min_chars: int | None = None,
    max_chars: int | None = None,
    **seeing: Unpack[Seeing],
) -> Shaped:
    """Writes the rows of a file or folder that meet every condition, in their order, to `destination`.

    `where` are Conditions or texts of them, on the rows' own fields or those that `fields` names. `min_chars`
    and `max_chars` bound the characters of prompt and answer together; with them every row must be one of a
    known format. `counts` says how many rows each condition dropped, the first that a row fails.

    Raises DatasetError with every finding, ConfigError for a condition that says none, for a field that no
    row has, where no row is left, and for a destination that is there.
    """
    tests = _Tests(where, min_chars, max_chars)
    place = place_of(destination)
    compression = compression_of(place)
    work = Work(**seeing)
    reading = Reading(source, work)
    written = 0
    with Desk(place) as desk:
        with lines_to(desk.made, compression) as write:
            for row, line, length in _measured(reading, work, of_length=tests.of_length):
                if tests.are_met(row, length):
                    write(line)
                    written += 1
        tests.check(str(source), written)
    return Shaped(
        "filter",
        (str(source),),
        str(place),
        reading.rows,
        written,
        {place.name: written},
        counts=dict(tests.dropped),
    )


def _measured(reading: Reading, work: Work, *, of_length: bool) -> Iterator[tuple[Row, bytes, int]]:
    """(row with its fields also under the mapped names, line, characters of prompt and answer)."""
    mapping = FieldMap(work.fields) if work.fields else None
    if of_length:
        for seen in Sight(reading, work):
            length = sum(len(prompt) + len(answer) for prompt, answer in seen.pairs)
            yield _both(seen.row, mapping), seen.line, length
        return
    for _, row, line in reading:
        yield _both(row, mapping), line, 0


def _both(row: Row, mapping: FieldMap | None) -> Row:
    return {**mapping.apply(row), **row} if mapping is not None else row


class _Tests:
    """All that a row has to meet, and how many rows each has dropped."""

    def __init__(
        self, where: Sequence[str | Condition], min_chars: int | None, max_chars: int | None
    ) -> None:
        self._conditions = [Condition.parse(item) if isinstance(item, str) else item for item in where]
        self._min, self._max = min_chars, max_chars
        self.of_length = min_chars is not None or max_chars is not None
        if not self._conditions and not self.of_length:
            raise ConfigError("a filter has a condition or more", field="where", allowed=ALLOWED)
        for name, bound in (("min_chars", min_chars), ("max_chars", max_chars)):
            if bound is not None and bound < 0:
                raise ConfigError(
                    f"{name} is 0 or more, got {bound}", field=name, value=bound, allowed="0 or more"
                )
        if min_chars is not None and max_chars is not None and min_chars > max_chars:
            raise ConfigError(
                f"min_chars {min_chars} is over max_chars {max_chars}: no row has such a length",
                field="min_chars",
                value=min_chars,
                allowed=f"0 to {max_chars}",
            )
        self._unseen = {condition.field for condition in self._conditions}
        self._names: dict[str, None] = {}
        self.dropped: Counter[str] = Counter(dict.fromkeys(self._labels(), 0))

    def _labels(self) -> list[str]:
        bounds = (("min-chars", self._min), ("max-chars", self._max))
        return [
            *(condition.text for condition in self._conditions),
            *(f"{name} {bound}" for name, bound in bounds if bound is not None),
        ]

    def are_met(self, row: Row, length: int) -> bool:
        failed = self._failed(row, length)
        if failed is not None:
            self.dropped[failed] += 1
        return failed is None

    def _failed(self, row: Row, length: int) -> str | None:
        failed = None
        if self._unseen:
            self._look_for_fields(row)
        for condition in self._conditions:
            if failed is None and not condition.is_met(value_at(row, condition.field)):
                failed = condition.text
        if failed is None and self._min is not None and length < self._min:
            failed = f"min-chars {self._min}"
        if failed is None and self._max is not None and length > self._max:
            failed = f"max-chars {self._max}"
        return failed

    def _look_for_fields(self, row: Row) -> None:
        self._unseen = {field for field in self._unseen if value_at(row, field) is None}
        if len(self._names) < 50:
            self._names.update(dict.fromkeys(row))

    def check(self, source: str, written: int) -> None:
        """Raises ConfigError for a field that no row has, or where no row is left."""
        if self._unseen:
            missing = ", ".join(sorted(self._unseen))
            raise ConfigError(
                f"no row of {source} has the field {missing}; they have {', '.join(self._names)}",
                field="where",
                value=missing,
                allowed=", ".join(self._names),
            )
        if not written:
            told = ", ".join(f"{label} drops {count}" for label, count in self.dropped.items() if count)
            raise ConfigError(f"no row of {source} is left: {told}", field="where")


def _number(value: Any) -> float | None:
    """The number that a value is, or that a text writes."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _refused(text: str, why: str) -> ConfigError:
    return ConfigError(
        f"the condition {text!r} says nothing: {why}", field="where", value=text, allowed=ALLOWED
    )
