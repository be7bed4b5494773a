"""In which form a route takes rows, and rows in that form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ift_sagemaker.catalog.models import FoundationModel, Road
from ift_sagemaker.data import TARGETS, InstructionDataset
from ift_sagemaker.data.converting.targets import NotHeldError, Sheet, Target
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.errors import ConfigError, UnsupportedError
from ift_sagemaker.plan.routes.container import Rows

IMAGES = "images"
"""Not a form of rows: a folder of pictures with dataset_info.json."""
LABELLED = ("text-classification", "sentence-pair-classification")
_PICTURES = (".png", ".jpg", ".jpeg")
_BEDROCK = (
    ("amazon.nova-", "bedrock-nova"),
    ("meta.llama3-1-", "bedrock-prompt-completion"),
    ("meta.llama3-", "bedrock-converse"),
    ("anthropic.", "anthropic"),
)


def form_of(model: FoundationModel, road: Road, written: str) -> str:
    """The name of the target (`ift data targets`) for rows of the canonical format `written`.

    Raises UnsupportedError where nothing here writes what the route reads.
    """
    if road.route in ("serverless", "recipe"):
        return "bedrock-nova" if model.family == "nova" else "prompt-completion"
    form = {"jumpstart": _jumpstart, "bedrock": _bedrock}.get(road.route, _export)(model, road, written)
    if form is None:
        raise UnsupportedError(
            f"no rows of the kind {written!r} are written yet for {model.model_id} by route {road.route} "
            f"({', '.join(model.tasks)})",
            feature=f"{road.route} rows of {', '.join(model.tasks)}",
        )
    return form


def _jumpstart(model: FoundationModel, _: Road, written: str) -> str | None:
    if "text-to-image" in model.tasks:
        return IMAGES
    if any(task in LABELLED for task in model.tasks):
        pairs = "sentence-pair-classification" in model.tasks
        return "bert" if written == "label" or (written == "alpaca" and not pairs) else None
    forms = {"alpaca": "jumpstart-instruction"}
    if "text-generation" in model.tasks:
        forms |= {"chat": "jumpstart-chat", "text": "domain-text"}
    elif "text2text-generation" not in model.tasks:
        return None
    return forms.get(written)


def _bedrock(model: FoundationModel, _: Road, __: str) -> str | None:
    found = (form for prefix, form in _BEDROCK if model.model_id.startswith(prefix))
    return next(found, None) if "text-generation" in model.tasks else None


def _export(_: FoundationModel, road: Road, __: str) -> str | None:
    return road.target or None


def rows_of(dataset: InstructionDataset, form: str, *, held_out: bool = False) -> Rows:
    """The rows as the target writes them; the least number of rows is not asked of held-out ones.

    Raises DatasetError naming each row that the target cannot hold whole.
    """
    target = TARGETS[form]
    write = target.writers.get(dataset.format)
    if write is None:
        raise ConfigError(
            f"{dataset.format} rows cannot become {form}, which is made of {', '.join(target.writers)} rows",
            field="data",
        )
    sheet, findings = Sheet(dataset.template), Findings(dataset.path)
    lines = []
    for number, row in enumerate(dataset, start=1):
        try:
            lines.append(write(row, sheet))
        except NotHeldError as loss:
            findings.add(number, "", "not-held", f"{form} cannot hold {loss}")
    _check_count(len(dataset), target, findings, least=1 if held_out else target.minimum)
    findings.raise_errors()
    return rows_from({**_joined(target.file, lines), **target.beside(sheet)}, len(dataset))


def _joined(name: str | None, lines: list[bytes]) -> dict[str, bytes]:
    """The one file of the rows; none where all is in those beside it."""
    return {} if name is None else {name: b"".join(lines)}


def rows_from(files: Mapping[str, bytes], count: int) -> Rows:
    """Files as rows, named by their content."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return Rows(dict(files), digest.hexdigest(), count)


def pictures_from(path: str, files: Mapping[str, bytes]) -> Rows:
    """A folder for DreamBooth, by relative names. Raises DatasetError with all that is wrong."""
    findings = Findings(path)
    pictures = [name for name in files if name.lower().endswith(_PICTURES)]
    if not any("/" not in name for name in pictures):
        findings.add(0, "", "pictures", f"has no picture ({', '.join(_PICTURES)})")
    for name in sorted(files.keys() - {*pictures, "dataset_info.json"}):
        findings.add(0, name, "pictures", "is neither a picture nor dataset_info.json")
    _check_info(files.get("dataset_info.json"), findings)
    findings.raise_errors()
    return rows_from(files, len(pictures))


def _check_info(content: bytes | None, findings: Findings) -> None:
    try:
        info: Any = json.loads(content) if content is not None else None
    except ValueError:
        info = None
    if not isinstance(info, dict) or not isinstance(info.get("instance_prompt"), str):
        findings.add(0, "dataset_info.json", "pictures", "must be there and hold a text `instance_prompt`")


def _check_count(count: int, target: Target, findings: Findings, *, least: int) -> None:
    if count < least:
        findings.add(0, "", "row-count", f"has {count} rows, {target.name} takes no fewer than {least}")
    if target.maximum is not None and count > target.maximum:
        findings.add(
            0, "", "row-count", f"has {count} rows, {target.name} takes no more than {target.maximum}"
        )


def refuse_second_labels(form: str, *, validation: bool) -> None:
    """Raises UnsupportedError: the labels of a second file would be numbered anew, and mean other things."""
    if form == "bert" and validation:
        raise UnsupportedError(
            "held-out rows of labelled texts are not offered yet: put all rows into one set, the trainer "
            "holds out a share itself",
            feature="validation rows with labels",
        )
