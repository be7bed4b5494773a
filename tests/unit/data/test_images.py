"""Folders of images with prompts become what tuning of image models takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.data import InstructionDataset, convert
from ift_sagemaker.data.reading.containers import read_files
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.errors import DatasetError, UnsupportedError

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
JPEG = b"\xff\xd8\xff" + b"pixels"
PROMPT = {"instance_prompt": "a photo of sks dog", "class_prompt": "a photo of a dog"}


def _images(folder: Path, count: int = 5) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.{'png' if number % 2 else 'jpg'}").write_bytes(PNG if number % 2 else JPEG)
    return folder


def _with_prompt(folder: Path) -> Path:
    (_images(folder) / "dataset_info.json").write_text(json.dumps(PROMPT))
    return folder


def _with_list(folder: Path) -> Path:
    lines = [
        json.dumps({"file_name": path.name, "text": f"dog {path.stem}"}) for path in _images(folder).iterdir()
    ]
    (folder / "metadata.jsonl").write_text("\n".join(sorted(lines)))
    return folder


def _with_texts(folder: Path) -> Path:
    for path in list(_images(folder).iterdir()):
        path.with_suffix(".txt").write_text(f"dog {path.stem}\n")
    return folder


def _read(folder: Path) -> list[dict[str, Any]]:
    findings = Findings(str(folder))
    rows = [row for _, row in read_files(folder, findings)]
    findings.raise_errors()
    return rows


def test_one_prompt_belongs_to_every_image(tmp_path: Path) -> None:
    rows = _read(_with_prompt(tmp_path / "dogs"))
    assert [Path(row["image"]).name for row in rows] == ["0.jpg", "1.png", "2.jpg", "3.png", "4.jpg"]
    assert all((row["caption"], row["class_prompt"]) == tuple(PROMPT.values()) for row in rows)


@pytest.mark.parametrize("make", [_with_list, _with_texts])
def test_captions_come_from_a_list_or_from_texts_beside(tmp_path: Path, make: Any) -> None:
    rows = _read(make(tmp_path / "dogs"))
    assert {Path(row["image"]).name: row["caption"] for row in rows} == {
        "0.jpg": "dog 0",
        "1.png": "dog 1",
        "2.jpg": "dog 2",
        "3.png": "dog 3",
        "4.jpg": "dog 4",
    }


def test_a_folder_for_stable_diffusion_is_written_and_read_back_as_it_was(tmp_path: Path) -> None:
    source, place = _with_prompt(tmp_path / "dogs"), tmp_path / "out"
    done = convert(source, place, to="stable-diffusion")
    assert (done.rows, done.format) == (5, "image-folder")
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.suffix != ".json"} == {
        path.name: path.read_bytes() for path in source.iterdir() if path.suffix != ".json"
    }
    assert json.loads((place / "dataset_info.json").read_text()) == PROMPT


def test_captions_of_their_own_are_refused_where_there_is_one_prompt(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="a prompt of an image's own") as caught:
        convert(_with_list(tmp_path / "dogs"), tmp_path / "out", to="stable-diffusion")
    assert [finding.line for finding in caught.value.findings] == [2, 3, 4, 5]
    assert not (tmp_path / "out").exists()


def test_captioned_images_become_pairs_that_name_them_in_s3(tmp_path: Path) -> None:
    place = tmp_path / "out"
    convert(_with_texts(tmp_path / "dogs"), place, to="bedrock-image", images_at="s3://bucket/dogs/")
    lines = [json.loads(line) for line in (place / "train.jsonl").read_text().splitlines()]
    assert lines[1] == {"image-ref": "s3://bucket/dogs/images/1.png", "caption": "dog 1"}
    assert (place / "images" / "1.png").read_bytes() == PNG


def test_pairs_in_s3_need_no_copy_and_come_back_as_they_were(tmp_path: Path) -> None:
    pairs = [{"image-ref": f"s3://b/{n}.png", "caption": f"dog {n}"} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    done = convert(tmp_path / "rows.jsonl", tmp_path / "out", to="bedrock-image")
    assert (done.format, done.files) == ("image-ref", ("train.jsonl",))
    lines = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == pairs


def test_images_of_this_machine_are_refused_without_their_place_in_s3(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="images_at"):
        convert(_with_texts(tmp_path / "dogs"), tmp_path / "out", to="bedrock-image")


@pytest.mark.parametrize("caption", ["ab", "x" * 1025])
def test_a_caption_outside_its_length_is_refused(tmp_path: Path, caption: str) -> None:
    folder = _with_texts(tmp_path / "dogs")
    (folder / "3.txt").write_text(caption)
    with pytest.raises(DatasetError, match=f"a caption of {len(caption)} characters"):
        convert(folder, tmp_path / "out", to="bedrock-image", images_at="s3://b/p")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    folder = _with_prompt(tmp_path / "dogs")
    (folder / "3.png").write_bytes(b"GIF89a")
    with pytest.raises(DatasetError, match=r"3\.png is neither PNG nor JPEG"):
        convert(folder, tmp_path / "out", to="stable-diffusion")


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "", 7])
def test_a_list_cannot_name_what_lies_outside_its_folder(tmp_path: Path, name: object) -> None:
    (_images(tmp_path / "dogs") / "metadata.jsonl").write_text(json.dumps({"file_name": name, "text": "x"}))
    with pytest.raises(DatasetError, match="no path of an image in the folder"):
        _read(tmp_path / "dogs")


def test_an_image_without_a_prompt_is_named(tmp_path: Path) -> None:
    folder = _with_texts(tmp_path / "dogs")
    (folder / "2.txt").unlink()
    with pytest.raises(DatasetError, match="caption: is missing"):
        convert(folder, tmp_path / "out", to="bedrock-image", images_at="s3://b/p")


@pytest.mark.parametrize("info", ["[]", "{}", '{"instance_prompt": 7}', "no json"])
def test_a_prompt_file_without_a_prompt_is_a_finding(tmp_path: Path, info: str) -> None:
    (_images(tmp_path / "dogs") / "dataset_info.json").write_text(info)
    with pytest.raises(DatasetError):
        _read(tmp_path / "dogs")


def test_images_are_no_instructions(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="image-folder rows"):
        InstructionDataset.read(_with_prompt(tmp_path / "dogs"))


def test_a_list_may_name_images_in_sub_folders(tmp_path: Path) -> None:
    _images(tmp_path / "images")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "images/1.png", "text": "a dog"}))
    assert _read(tmp_path) == [{"image": f"{tmp_path}/images/1.png", "caption": "a dog"}]


def test_a_description_of_data_sets_without_images_is_no_row(tmp_path: Path) -> None:
    """LLaMA-Factory's folders and saved Hugging Face data sets have a dataset_info.json of another kind."""
    (tmp_path / "dataset_info.json").write_text('{"mine": {"file_name": "rows.json"}}')
    (tmp_path / "rows.json").write_text('[{"instruction": "Q", "output": "A"}]')
    assert len(InstructionDataset.read(tmp_path)) == 1
