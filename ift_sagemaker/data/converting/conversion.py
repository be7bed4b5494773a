"""From any rows to a target's files: streamed, and either whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Any

from ift_sagemaker.data.converting.targets import NotHeldError, NotWritableError, Sheet, Target, target_named
from ift_sagemaker.data.reading.containers import read_files, template_beside
from ift_sagemaker.data.reading.images import is_image
from ift_sagemaker.data.reading.sources import Source, open_address
from ift_sagemaker.data.rows.fields import FieldMap
from ift_sagemaker.data.rows.finding import Finding, Findings
from ift_sagemaker.data.rows.formats import BY_NAME, DETECTION_ROWS, FORMATS, RowShape, detect
from ift_sagemaker.data.rows.instruction import OPTIONAL_FIELDS, Row
from ift_sagemaker.data.rows.labels import label_map
from ift_sagemaker.data.rows.rules import plainly_good, rules_of
from ift_sagemaker.data.writing.desk import Desk, place_of
from ift_sagemaker.errors import ConfigError, DatasetError, UnsupportedError
from ift_sagemaker.wire.template import PromptTemplate

_BUFFER = 1 << 20


@dataclass(frozen=True)
class Conversion:
    """What a conversion did: rows read and the files they became; `warnings` of the rows."""

    source: str
    format: str
    target: str
    rows: int
    files: tuple[str, ...]
    warnings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def convert(
    source: Source,
    destination: str | PathLike[str],
    *,
    to: str,
    format: str | None = None,  # noqa: A002 - the word of the field
    fields: Mapping[str, str] | None = None,
    template: PromptTemplate | None = None,
    labels: Mapping[str, object] | None = None,
    images_at: str | None = None,
) -> Conversion:
    """Writes the rows of `source`, a file or a folder, as the files of target `to` into folder `destination`.

    `source` may be in S3 (`Session.at`). `labels` numbers the labels of a classification, as
    `{"negative": 0, "positive": 1}`; without it they are numbered as they come, and numbers stay as they are.
    `images_at` is the `s3://` address below which the written folder will lie, for targets whose rows name
    images in S3.

    Memory does not grow with the rows. The folder appears when it is whole: where any row is wrong or cannot
    be held by the target without loss, DatasetError names every such row and nothing is written.
    Raises ConfigError for an unknown target or format, and for a destination that is there already,
    StorageError where nothing can be written.
    """
    chosen = target_named(to, "to")
    place = place_of(destination)
    findings = Findings(str(source))
    template = template or template_beside(source)
    with Desk(place) as desk:
        desk.made.mkdir()
        rows = _numbered(source, findings, fields)
        shape, rows = _with_shape(rows, findings, format, template)
        sheet = Sheet(template, None if labels is None else label_map(labels), images_at)
        path = desk.made / chosen.file if chosen.file else Path(os.devnull)
        count = _write(rows, path, chosen, shape, sheet, findings)
        check_count(count, chosen, findings)
        findings.path = str(source)
        findings.raise_errors()
        _write_beside(desk.made, chosen, sheet, source, findings)
        findings.raise_errors()
    files = tuple(sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()))
    return Conversion(str(source), shape.name, to, count, files, findings.warnings)


def convert_part(
    source: Source,
    path: Path,
    *,
    to: str,
    format: str,  # noqa: A002 - the word of the field
    fields: Mapping[str, str] | None = None,
    template: PromptTemplate | None = None,
) -> tuple[int, Findings]:
    """Rows read and findings of one part of a source; its rows become a part of the target's file at `path`.

    `format` is that of the whole source. Rows that are wrong are findings and are not in the file; how many
    rows a target takes, and its further files, are a matter of the whole.
    """
    chosen, findings = target_named(to, "to"), Findings(str(source))
    rows = _numbered(source, findings, fields)
    count = _write(rows, path, chosen, shape_of(format, [], findings), Sheet(template), findings)
    return count, findings


def _write_beside(folder: Path, target: Target, sheet: Sheet, source: Source, findings: Findings) -> None:
    """Further files and copies of images; what cannot be written is a finding."""
    try:
        for name, content in target.beside(sheet).items():
            (folder / name).write_bytes(content)
    except NotHeldError as loss:
        findings.add(0, "", "not-held", f"{target.name} cannot hold {loss}")
    for name, address in sheet.copies.items():
        copy = folder / name
        copy.parent.mkdir(exist_ok=True)
        try:
            with open_address(address, source) as image, copy.open("wb") as file:
                start = image.read(_BUFFER)
                if not is_image(start):
                    findings.add(0, "image", "image", f"{address} is neither PNG nor JPEG")
                file.write(start)
                shutil.copyfileobj(image, file, _BUFFER)
        except OSError as error:
            findings.add(0, "image", "file", f"{address} cannot be copied: {error.strerror or error}")


def _numbered(
    source: Source, findings: Findings, fields: Mapping[str, str] | None
) -> Iterator[tuple[int, Row]]:
    rows = read_files(source, findings)
    if not fields:
        return rows
    mapping = FieldMap(fields)
    return ((line, mapping.apply(row)) for line, row in rows)


def _with_shape(
    rows: Iterator[tuple[int, Row]], findings: Findings, name: str | None, template: PromptTemplate | None
) -> tuple[RowShape, Iterator[tuple[int, Row]]]:
    """The shape of the rows, and all of the rows: the first few are looked at and put back."""
    first = list(islice(rows, DETECTION_ROWS))
    if not first:
        findings.raise_errors()
        findings.add(0, "", "empty-file", "has no rows")
        findings.raise_errors()
    return shape_for(name, template, [row for _, row in first], findings), chain(first, rows)


def shape_for(
    name: str | None, template: PromptTemplate | None, first: list[Row], findings: Findings
) -> RowShape:
    """The shape of rows, for which there may be a template with fields as the rows have them.

    Where they do not, the template may name the canonical fields of the shape that the rows have.
    """
    if template is None or name is not None:
        return shape_of(name, first, findings)
    detected = detect(first)
    needed = set(template.fields) - OPTIONAL_FIELDS
    if detected is not None and (detected.canonical != "alpaca" or not needed <= first[0].keys()):
        return detected
    return BY_NAME["alpaca"]


def shape_of(name: str | None, first: list[Row], findings: Findings) -> RowShape:
    """The shape that was asked for, or else the one that the first rows have."""
    if name is not None and name not in BY_NAME:
        raise ConfigError(
            f"no format {name!r}; there are {', '.join(FORMATS)}",
            field="format",
            value=name,
            allowed=", ".join(FORMATS),
        )
    shape = BY_NAME[name] if name else detect(first)
    if shape is not None:
        return shape
    findings.raise_errors()
    raise DatasetError(
        f"{findings.path}: no known format has the fields {', '.join(first[0]) or '(none)'}; name them, "
        'as in fields={"instruction": "question", "output": "answer"} (--field instruction=question), '
        "or give a template",
        path=findings.path,
    )


def learnable_shape(
    name: str | None, template: PromptTemplate | None, rows: Sequence[Row], findings: Findings
) -> RowShape:
    """The shape of rows that can be learnt as instructions or conversations."""
    shape = shape_for(name, template, list(rows[:DETECTION_ROWS]), findings)
    if template is not None and shape.canonical == "chat":
        raise ConfigError(
            f"{shape.name} rows take no template: the model's own chat template applies", field="template"
        )
    if shape.canonical not in ("alpaca", "chat"):
        raise UnsupportedError(
            f"{findings.path} has {shape.name} rows, which are no instructions: `ift data convert` writes"
            " them for the services that learn from them",
            feature=f"an InstructionDataset of {shape.name} rows",
        )
    return shape


def canonical_rows(rows: Iterator[tuple[int, Row]], shape: RowShape) -> Iterator[tuple[int, Row]]:
    """Every row in its canonical shape, unchecked; a row that holds several gives several."""
    read = shape.read
    for line, row in rows:
        found = read(row)
        if isinstance(found, list):
            for part in found:
                yield line, part
        else:
            yield line, found


def _write(
    rows: Iterator[tuple[int, Row]],
    path: Path,
    target: Target,
    shape: RowShape,
    sheet: Sheet,
    findings: Findings,
) -> int:
    """How many rows were written; those that could not be are findings."""
    write = target.writers.get(shape.canonical)
    if write is None:
        takes = ", ".join(target.writers)
        message = f"{shape.name} rows cannot become {target.name}, which is made of {takes} rows"
        raise ConfigError(message, field="to", value=target.name)
    rules = rules_of(shape.canonical, sheet.template, tools=True)
    is_plainly_good = plainly_good(rules)
    findings.field_of = shape.field
    count = 0
    with path.open("wb", buffering=1 << 20) as file:
        for line, row in canonical_rows(rows, shape):
            count += 1
            good = row if is_plainly_good(row) else rules.normalise(row, line, findings)
            if good is None:
                continue
            try:
                file.write(write(good, sheet))
            except NotHeldError as loss:
                # what cannot be written at all may be in a field that the rules name
                if not isinstance(loss, NotWritableError) or rules.normalise(row, line, findings):
                    findings.add(line, "", "not-held", f"{target.name} cannot hold {loss}")
    return count


def check_count(count: int, target: Target, findings: Findings) -> None:
    """Notes where these are fewer or more rows than the target takes."""
    if count < target.minimum:
        message = f"has {count} rows, {target.name} takes no fewer than {target.minimum}"
        findings.add(0, "", "row-count", message)
    if target.maximum is not None and count > target.maximum:
        message = f"has {count} rows, {target.name} takes no more than {target.maximum}"
        findings.add(0, "", "row-count", message)
