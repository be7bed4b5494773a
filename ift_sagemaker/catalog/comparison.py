"""Foundation-model families side by side, every cell with its source."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ift_sagemaker.catalog.facts import load
from ift_sagemaker.errors import ConfigError, ModelNotFoundError

if TYPE_CHECKING:
    import pandas as pd


def compare(*families: str, features: Iterable[str] | None = None) -> pd.DataFrame:
    """A table of features (rows) by families (columns); all families where none is named.

    `attrs["sources"]` holds family → feature → source, date, confidence ("read" or "general knowledge") and,
    where the comparison of 2023 said otherwise, what it said (`corrects`); `attrs["as_of"]` the
    day the table was made, `attrs["notes"]` what is to be said of a name.
    Raises ModelNotFoundError for an unknown family, ConfigError for an unknown feature.
    """
    import pandas as pd

    facts = load("comparison.json")
    chosen = _families(families, facts)
    rows = _features(features, facts)
    cells = {family: facts["families"][family]["cells"] for family in chosen}
    frame = pd.DataFrame(
        {family: [cells[family][row]["value"] for row in rows] for family in chosen},
        index=pd.Index(rows, name="feature"),
    )
    frame.attrs = {
        "as_of": facts["as_of"],
        "sources": {
            family: {
                row: {
                    part: cells[family][row][part]
                    for part in ("source", "date", "confidence", "corrects")
                    if part in cells[family][row]
                }
                for row in rows
            }
            for family in chosen
        },
        "notes": {
            name: alias["note"] for name, alias in facts["aliases"].items() if name in _plain(families)
        },
        "names": {family: facts["families"][family]["name"] for family in chosen},
    }
    return frame


def _plain(names: Iterable[str]) -> list[str]:
    return ["-".join(name.lower().replace("_", " ").replace("-", " ").split()) for name in names]


def _families(names: tuple[str, ...], facts: dict[str, Any]) -> list[str]:
    known, aliases = facts["families"], facts["aliases"]
    chosen = []
    for asked, name in zip(names, _plain(names), strict=True):
        family = aliases[name]["family"] if name in aliases else name
        if family not in known:
            everything = [*known, *aliases]
            closest = get_close_matches(name, everything, n=3, cutoff=0.4)
            hint = f"did you mean {', '.join(closest)}?" if closest else f"there are {', '.join(everything)}"
            raise ModelNotFoundError(f"no model family {asked!r}; {hint}", model_id=asked, closest=closest)
        chosen.append(family)
    return list(dict.fromkeys(chosen)) or list(known)


def _features(names: Iterable[str] | None, facts: dict[str, Any]) -> list[str]:
    known = {name.lower(): name for name in facts["features"]}
    if names is None:
        return list(known.values())
    wanted = []
    for asked in names:
        if asked.lower() not in known:
            allowed = ", ".join(known.values())
            raise ConfigError(
                f"no feature {asked!r}; there are {allowed}", field="features", value=asked, allowed=allowed
            )
        wanted.append(known[asked.lower()])
    return wanted
