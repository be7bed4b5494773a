"""What is told of files before they are sent: hashes, parts, rows, and keys made of content."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker import __version__
from ift_sagemaker.contract import rules, shapes
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.data.sending.manifest import (
    MAX_OBJECT_BYTES,
    MAX_PARTS,
    MIN_PART_BYTES,
    PART_BYTES,
    Manifest,
    ManifestFile,
    composite,
    part_bytes,
    require_key,
)
from ift_sagemaker.data.sending.outgoing import hashed, of_dataset, of_path
from ift_sagemaker.errors import ConfigError, SourceChangedError
from ift_sagemaker.wire.template import ALPACA

ROWS = InstructionDataset.from_rows(
    [{"instruction": "Grüße", "output": "b"}, {"instruction": "c", "output": "d"}]
)


def _write(folder: Path) -> Path:
    folder.mkdir()
    for name, content in ROWS.wire_files().items():
        (folder / name).write_bytes(content)
    return folder


@given(st.integers(0, MAX_OBJECT_BYTES))
def test_every_size_fits_into_parts_that_s3_takes(size: int) -> None:
    each = part_bytes(size)
    assert PART_BYTES <= each <= 5 << 30
    assert -(-size // each) <= MAX_PARTS


def test_what_s3_takes_in_no_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="5 TiB"):
        part_bytes(MAX_OBJECT_BYTES + 1)
    with pytest.raises(ConfigError, match="smaller than S3 takes"):
        part_bytes(1, MIN_PART_BYTES - 1)


@pytest.mark.parametrize(
    "size", [0, 1, MIN_PART_BYTES, MIN_PART_BYTES + 1, 2 * MIN_PART_BYTES, 2 * MIN_PART_BYTES + 7]
)
def test_parts_cover_a_file_without_gap_or_overlap(size: int) -> None:
    content = os.urandom(size)
    found = hashed("x", content, MIN_PART_BYTES)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert b"".join(found.read(part) for part in found.parts) == content
    assert [part.number for part in found.parts] == list(range(1, len(found.parts) + 1))
    assert len(found.parts) == max(1, -(-size // MIN_PART_BYTES))
    digests = [hashlib.sha256(content[part.offset :][: part.size]).digest() for part in found.parts]
    assert composite(found.parts) == hashlib.sha256(b"".join(digests)).digest()


def test_a_part_is_read_only_as_it_was_hashed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"before")
    found = hashed("x", tmp_path / "x")
    (tmp_path / "x").write_bytes(b"behind")
    with pytest.raises(SourceChangedError, match="changed while it was sent"):
        found.read(found.parts[0])


def test_a_dataset_and_the_folder_of_its_files_have_one_address(tmp_path: Path) -> None:
    told, found = of_dataset(ROWS).manifest, of_path(_write(tmp_path / "set")).manifest
    assert found.data_prefix() == told.data_prefix() == f"ift/data/{ROWS.fingerprint}/"
    assert (found.rows, found.characters, found.template) == (2, told.characters, ALPACA)
    assert (found.format, told.format) == ("alpaca", "alpaca")


def test_a_manifest_says_what_is_known_and_by_which_version(tmp_path: Path) -> None:
    ready = of_path(_write(tmp_path / "set"))
    told = json.loads(ready.manifest.to_bytes())
    assert told["made_by"] == f"ift-sagemaker {__version__}"
    assert told["template"]["fingerprint"] == ALPACA.fingerprint
    assert told["tokens"] is None
    content = (tmp_path / "set" / "train.jsonl").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert {"name": "train.jsonl", "bytes": len(content), "sha256": digest} in told["files"]


def test_a_manifest_lies_beside_the_data_under_its_own_hash(tmp_path: Path) -> None:
    ready = of_path(_write(tmp_path / "set"), prefix="team/sets")
    *files, (key, manifest) = ready.keyed()
    assert all(name.startswith(ready.manifest.data_prefix("team/sets")) for name, _ in files)
    assert not key.startswith(ready.manifest.data_prefix("team/sets")), "a channel would bring it along"
    assert key == f"team/sets/{ready.manifest.fingerprint}.{manifest.sha256}.manifest.json"


def test_a_manifests_address_is_a_value_that_sagemaker_takes() -> None:
    manifest = Manifest("f" * 64, (ManifestFile("train.jsonl", 1, "e" * 64),))
    uri = f"s3://{'b' * 63}/{manifest.key()}"
    request = {"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:model/m"}
    tags = {**request, "Tags": [{"Key": "ift:data-manifest", "Value": uri}]}
    assert not shapes.violations("sagemaker", "AddTags", tags)
    assert not rules.violations("AddTags", tags)


def test_any_content_has_an_address_of_its_own(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "a").write_bytes(b"bc")
    (tmp_path / "two" / "ab").write_bytes(b"c")
    (tmp_path / "three" / "a").write_bytes(b"")
    (tmp_path / "three" / "b").write_bytes(b"c")
    assert len({of_path(tmp_path / name).manifest.fingerprint for name in ("one", "two", "three")}) == 3


def test_a_folder_is_sent_with_its_folders_and_without_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    (tmp_path / "sub" / "b.parquet").write_bytes(b"\xff")
    (tmp_path / "sub" / ".git" / "config").write_bytes(b"")
    (tmp_path / ".env").write_bytes(b"KEY=secret")
    manifest = of_path(tmp_path).manifest
    assert [file.name for file in manifest.files] == ["sub/b.parquet"]
    assert (manifest.rows, manifest.characters, manifest.format) == (None, None, None)


@pytest.mark.parametrize(
    ("content", "rows"),
    [(b"", 0), (b"{}", 1), (b"{}\n{}\n", 2), (b"\n{}\n \n\n{}", 2), (b"{}\r\n\r\n{}\r\n", 2)],
)
def test_rows_are_lines_that_are_not_blank(content: bytes, rows: int, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    assert of_path(tmp_path / "rows.jsonl").manifest.rows == rows


def test_text_that_is_none_has_no_characters(tmp_path: Path) -> None:
    for name, content in (("a", b"\xff\xfe"), ("b", "ü".encode()[:1])):
        (tmp_path / f"{name}.jsonl").write_bytes(content)
        assert of_path(tmp_path / f"{name}.jsonl").manifest.characters is None


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file to send"):
        of_path(tmp_path)
    with pytest.raises(ConfigError, match="no file or folder of that name"):
        of_path(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no plain file"):
        of_path(tmp_path)


@pytest.mark.parametrize("name", ["a\nb", "\udcff", "x" * 1025, "a//b", "a/../b"])
def test_a_name_that_cannot_be_a_key_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a key"):
        require_key(name)


def test_a_damaged_template_is_a_file_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "template.json").write_text("{")
    assert of_path(tmp_path).manifest.template is None


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(b'{"instruction": "a", "output": "b"}\n' * 29_000)
    tracemalloc.start()
    try:
        manifest = of_path(path).manifest
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert manifest.rows == 64 * 29_000
    assert path.stat().st_size > 60 << 20
    assert peak < 20 << 20
