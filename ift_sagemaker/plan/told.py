"""Plans in words: lines that a terminal of 80 columns holds, but for names that must not be broken."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from textwrap import TextWrapper
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ift_sagemaker.plan.plans import Place, Upload

_COLUMNS = 80
_LABEL = 11


def line(label: str, text: str) -> str:
    """The text beside its label, and below its own beginning where it is long."""
    wrapper = TextWrapper(
        width=_COLUMNS,
        initial_indent=f"  {label:<{_LABEL}}",
        subsequent_indent=" " * (_LABEL + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.fill(text)


def where(place: Place, request: Mapping[str, Any]) -> str:
    """Machines, where they are asked for, region, account and role."""
    asked = request.get("ResourceConfig")
    machines = f"{asked['InstanceCount']} x {asked['InstanceType']} in " if asked else ""
    return line("where", f"{machines}{place.region}, account {place.account}, role {place.role}")


def uploads(sent: Sequence[Upload], bucket: str) -> list[str]:
    """Every object with its size, below the prefix that it shares with those beside it."""
    total = sum(upload.size for upload in sent)
    objects = "1 object" if len(sent) == 1 else f"{len(sent)} objects"
    told = [line("uploads", f"{objects}, {total / 1e6:.1f} MB, to s3://{bucket}")]
    above = ""
    for upload in sent:
        folder, slash, name = upload.key.rpartition("/")
        if folder != above:
            told.append(f"    {folder}{slash}")
            above = folder
        told.append(file(name, upload.size))
    return told


def file(name: str, size: int) -> str:
    return f"      {size:>13,} B  {name}"


def requests(asked: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Each request as JSON below its name."""
    told = []
    for name, params in asked:
        told += [line("request", name), json.dumps(params, indent=2, ensure_ascii=False)]
    return told
