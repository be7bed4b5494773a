"""Rows of a file or folder in the form that a route takes. The one place of this room that reads a disk."""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path

from ift_sagemaker.catalog.models import FoundationModel, Road
from ift_sagemaker.data import InstructionDataset, convert
from ift_sagemaker.data.converting.conversion import shape_of
from ift_sagemaker.data.reading.containers import read_files
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.formats import DETECTION_ROWS
from ift_sagemaker.errors import DatasetError
from ift_sagemaker.plan.forms import IMAGES, form_of, pictures_from, rows_from, rows_of
from ift_sagemaker.plan.routes.container import Rows

_MAX_PICTURE_BYTES = 1 << 30


def rows_in_form(
    source: InstructionDataset | str | Path,
    model: FoundationModel,
    road: Road,
    *,
    held_out: bool = False,
) -> tuple[str, Rows]:
    """The form and the rows in it.

    Raises DatasetError for rows that are wrong, UnsupportedError where nothing here writes rows of that kind
    for the route.
    """
    if isinstance(source, InstructionDataset):
        form = form_of(model, road, source.format)
        return form, rows_of(source, form, held_out=held_out)
    path = Path(source)
    if path.is_dir() and "text-to-image" in model.tasks:
        form = form_of(model, road, IMAGES)
        return form, pictures_from(str(path), _files(path))
    written = _canonical(path)
    form = form_of(model, road, written)
    if form == IMAGES:
        raise DatasetError(
            f"{path}: {model.model_id} learns from a folder of pictures with dataset_info.json",
            path=str(path),
        )
    if written in ("alpaca", "chat"):
        return form, rows_of(InstructionDataset.read(path), form, held_out=held_out)
    return form, _converted(path, form)


def _canonical(path: Path) -> str:
    findings = Findings(str(path))
    first = [row for _, row in islice(read_files(path, findings), DETECTION_ROWS)]
    findings.raise_errors()
    if not first:
        findings.add(0, "", "empty-file", "has no rows")
        findings.raise_errors()
    return str(shape_of(None, first, findings).canonical)


def _converted(path: Path, form: str) -> Rows:
    with tempfile.TemporaryDirectory(prefix="ift-rows-") as work:
        folder = Path(work) / "rows"
        done = convert(path, folder, to=form)
        return rows_from({name: (folder / name).read_bytes() for name in done.files}, done.rows)


def _files(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in paths)
    if size > _MAX_PICTURE_BYTES:
        raise DatasetError(f"{folder} holds {size / 1e9:.1f} GB of pictures; at most 1 GiB", path=str(folder))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
