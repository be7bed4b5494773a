"""A source in S3 before it is dealt out: its objects, and what only the whole of it tells, its first rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from ift_sagemaker.data.converting.conversion import shape_for
from ift_sagemaker.data.reading.containers import BESIDE, READERS, read_files, template_beside
from ift_sagemaker.data.reading.images import has_prompts
from ift_sagemaker.data.reading.sources import SourceFile, Stored, found_at
from ift_sagemaker.data.rows.fields import FieldMap
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.formats import DETECTION_ROWS
from ift_sagemaker.data.rows.labels import LABELS_FILE
from ift_sagemaker.errors import UnsupportedError
from ift_sagemaker.wire.template import PromptTemplate


@dataclass(frozen=True)
class Survey:
    """`addresses` of the objects with rows, in the order in which they are read.

    `format` is None where there is no row; `findings` are those of the way to the first rows.
    """

    addresses: tuple[str, ...]
    format: str | None
    template: PromptTemplate | None
    findings: Findings


def survey(
    source: Stored,
    *,
    format: str | None = None,  # noqa: A002 - the word of the field
    fields: Mapping[str, str] | None = None,
    template: PromptTemplate | None = None,
) -> Survey:
    """Reads the first few rows of the source, and lists it.

    Raises DatasetError where nothing of it can hold rows or they have no known format, ConfigError for an
    unknown one, UnsupportedError for what cannot be dealt out: images with prompts, labels named beside rows.
    """
    file, files = found_at(source)
    found = [file] if file is not None else _with_rows(source, files)
    template = template or template_beside(source)
    findings = Findings(str(source))
    mapping = FieldMap(fields) if fields else None
    rows = ((mapping.apply(row) if mapping else row) for _, row in read_files(source, findings))
    first = list(islice(rows, DETECTION_ROWS))
    if not found:
        findings.raise_errors()
    shape = shape_for(format, template, first, Findings(str(source))) if first else None
    return Survey(tuple(one.address for one in found), shape.name if shape else None, template, findings)


def _with_rows(source: Stored, files: list[SourceFile]) -> list[SourceFile]:
    names = {file.name for file in files}
    if has_prompts(files) or {LABELS_FILE, "data.csv"} <= names:
        raise UnsupportedError(
            f"{source}: images with prompts, and rows whose labels are named in {LABELS_FILE}, cannot be "
            "dealt out to several machines: leave --on away",
            feature="images and named labels on several instances",
        )
    return [file for file in files if file.container in READERS and file.name not in BESIDE]
