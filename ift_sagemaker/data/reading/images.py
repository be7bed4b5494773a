"""Folders of images with prompts: one prompt for all of them, a list of them, or a text beside each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from ift_sagemaker.data.reading.lines import MAX_LINE_BYTES, read_objects, strict_loads
from ift_sagemaker.data.reading.sources import SourceFile
from ift_sagemaker.data.rows.finding import Findings

INFO_FILE = "dataset_info.json"
"""JumpStart's: `instance_prompt` for all images, and `class_prompt` for prior preservation."""
LISTS = ("metadata.jsonl", "captions.jsonl")
"""Rows with `file_name` and `text`, as Hugging Face's image folders have them."""
SUFFIXES = (".png", ".jpg", ".jpeg")
_PROMPT_KEYS = ("text", "caption", "prompt")
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")

Row = dict[str, Any]


def is_image(content: bytes) -> bool:
    """Whether bytes begin as PNG or JPEG do."""
    return content.startswith(_SIGNATURES)


def has_prompts(files: Sequence[SourceFile]) -> bool:
    """Whether the files of a folder are images with prompts; a list alone may name images in sub-folders."""
    names = {file.name for file in files}
    stems = {_stem(file) for file in _images(files)}
    if not stems:
        return len(files) == 1 and bool(names & {*LISTS})
    beside = any(_stem(file) in stems for file in files if file.container == ".txt")
    return bool(names & {INFO_FILE, *LISTS}) or beside


def read_images(files: Sequence[SourceFile], findings: Findings) -> Iterator[tuple[int, Row]]:
    """(number, {image, caption}) of every image; what has no image or no prompt is a finding."""
    by_name = {file.name: file for file in files}
    for name in LISTS:
        if name in by_name:
            yield from _listed(by_name[name], findings)
            return
    if INFO_FILE in by_name:
        yield from _of_one_prompt(by_name[INFO_FILE], _images(files), findings)
        return
    texts = {_stem(file): file for file in files if file.container == ".txt"}
    for number, image in enumerate(_images(files), start=1):
        caption = _text(texts.get(_stem(image)), findings)
        yield number, {"image": image.address, **({} if caption is None else {"caption": caption})}


def _images(files: Sequence[SourceFile]) -> list[SourceFile]:
    return [file for file in files if PurePosixPath(file.address).suffix.lower() in SUFFIXES]


def _stem(file: SourceFile) -> str:
    return PurePosixPath(file.name).stem


def _text(file: SourceFile | None, findings: Findings) -> str | None:
    if file is None:
        return None
    try:
        with file.open() as stream:
            return stream.read(MAX_LINE_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        findings.add(0, "", "file", f"{file.address} cannot be read: {error}")
        return None


def _of_one_prompt(
    info: SourceFile, images: Sequence[SourceFile], findings: Findings
) -> Iterator[tuple[int, Row]]:
    try:
        value = strict_loads(_text(info, findings) or "null")
    except ValueError as error:
        findings.add(0, "", "json", f"{info.name} is not JSON: {error}")
        return
    if not isinstance(value, dict) or not isinstance(value.get("instance_prompt"), str):
        findings.add(0, "instance_prompt", "missing", f"{info.name} has no text instance_prompt")
        return
    rest = {key: value[key] for key in ("class_prompt",) if value.get(key) is not None}
    for number, image in enumerate(images, start=1):
        yield number, {"image": image.address, "caption": value["instance_prompt"], **rest}


def _listed(rows: SourceFile, findings: Findings) -> Iterator[tuple[int, Row]]:
    folder = rows.address[: -len(rows.name)]
    findings.path = rows.address
    with rows.open() as stream:
        for number, row in read_objects(stream, findings):
            name = row.get("file_name")
            if not isinstance(name, str) or not _stays_inside(name):
                findings.add(number, "file_name", "file-name", "is no path of an image in the folder", name)
                continue
            caption = next((row[key] for key in _PROMPT_KEYS if key in row), None)
            yield number, {"image": folder + name, **({} if caption is None else {"caption": caption})}


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts
