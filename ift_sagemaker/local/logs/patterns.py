"""Filter patterns of CloudWatch Logs: terms, quoted phrases, `?optional` and `-excluded` ones. Pure.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html: case-sensitive; whatever
holds more than letters, digits and underscores stands in double quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ift_sagemaker.local.protocol.errors import ServiceError

_TERM = re.compile(r'(?P<sign>[?-]?)(?:"(?P<phrase>(?:[^"\\]|\\.)+)"|(?P<word>\w+))(?=\s|$)')
_OTHER_SYNTAX = {"{": "JSON", "[": "space-delimited", "%": "regular-expression"}


@dataclass(frozen=True)
class Pattern:
    """A message fits that holds all of `wanted`, one of `optional` if there are any, none of `excluded`."""

    wanted: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def fits(self, message: str) -> bool:
        return (
            all(term in message for term in self.wanted)
            and (not self.optional or any(term in message for term in self.optional))
            and not any(term in message for term in self.excluded)
        )


def parse(pattern: str) -> Pattern:
    """The pattern of a request.

    Raises:
        ServiceError: it is of a syntax that the local AWS does not have, or of none.
    """
    left = pattern.strip()
    if left[:1] in _OTHER_SYNTAX:
        raise _not_offered(f"The {_OTHER_SYNTAX[left[0]]} filter pattern {pattern!r}")
    found: dict[str, list[str]] = {"": [], "?": [], "-": []}
    while left:
        term = _TERM.match(left)
        if term is None:
            message = f"Invalid filter pattern: Invalid character(s) in term '{left.split()[0]}'"
            raise ServiceError("InvalidParameterException", message)
        phrase = term["phrase"]
        found[term["sign"]].append(term["word"] if phrase is None else re.sub(r"\\(.)", r"\1", phrase))
        left = left[term.end() :].lstrip()
    if found["?"] and (found[""] or found["-"]):
        raise _not_offered(f"The filter pattern {pattern!r}, in which ? stands beside other terms,")
    return Pattern(tuple(found[""]), tuple(found["?"]), tuple(found["-"]))


def _not_offered(what: str) -> ServiceError:
    return ServiceError(
        "InvalidParameterException", f"{what} is not offered by the local AWS of ift_sagemaker"
    )
