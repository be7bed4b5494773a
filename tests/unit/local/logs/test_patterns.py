"""Filter patterns, by the examples of AWS's page."""

from __future__ import annotations

import pytest

from ift_sagemaker.local.logs.patterns import parse
from ift_sagemaker.local.protocol.errors import ServiceError

LINES = [
    "[ERROR 400] BAD REQUEST",
    "[ERROR 401] UNAUTHORIZED REQUEST",
    "[ERROR 419] MISSING ARGUMENTS",
    "[WARN] INTERNAL SERVER ERROR",
    "error in lower case",
    'said "no"',
]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", [0, 1, 2, 3, 4, 5]),
        ("ERROR", [0, 1, 2, 3]),
        ("ERROR REQUEST", [0, 1]),
        ('"INTERNAL SERVER ERROR"', [3]),
        ('"[ERROR" BAD', [0]),
        ("?REQUEST ?ARGUMENTS", [0, 1, 2]),
        ('?"lower case" ?WARN', [3, 4]),
        ("ERROR -REQUEST", [2, 3]),
        ('-ERROR -"lower case"', [5]),
        (r'"said \"no\""', [5]),
    ],
)
def test_a_pattern_finds_the_lines_that_it_finds_on_aws(pattern: str, expected: list[int]) -> None:
    found = [number for number, line in enumerate(LINES) if parse(pattern).fits(line)]
    assert found == expected


@pytest.mark.parametrize("pattern", ["loss=1", "a.b", '""', '"open', "(a)", "--a", "ERROR -", 'a"b"'])
def test_what_must_stand_in_quotes_is_refused_as_on_aws(pattern: str) -> None:
    with pytest.raises(
        ServiceError, match=r"Invalid filter pattern: Invalid character\(s\) in term"
    ) as raised:
        parse(pattern)
    assert raised.value.code == "InvalidParameterException"


@pytest.mark.parametrize(
    ("pattern", "named"),
    [("{ $.a = 1 }", "JSON"), ("[a, b]", "space-delimited"), ("%a.b%", "regular-expression")],
)
def test_other_syntaxes_are_refused_by_name(pattern: str, named: str) -> None:
    with pytest.raises(ServiceError, match=f"The {named} filter pattern .* not offered"):
        parse(pattern)
