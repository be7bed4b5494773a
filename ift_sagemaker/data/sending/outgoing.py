"""Files on their way out: read once, in chunks, for their hashes and what a manifest says of them."""

from __future__ import annotations

import codecs
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ift_sagemaker.data.dataset import InstructionDataset
from ift_sagemaker.data.reading.containers import read_files
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.formats import DETECTION_ROWS, detect
from ift_sagemaker.data.sending.manifest import (
    DATA_PREFIX,
    PART_BYTES,
    Manifest,
    ManifestFile,
    Part,
    part_bytes,
    require_key,
)
from ift_sagemaker.errors import ConfigError, SourceChangedError, TemplateError
from ift_sagemaker.wire.template import TEMPLATE_FILE, PromptTemplate

Source = Path | bytes
_CHUNK = 1 << 20
_TEXTS = frozenset({".jsonl", ".json", ".csv", ".txt"})
_MAX_TEMPLATE = 1 << 20


@dataclass(frozen=True)
class Outgoing:
    """One file with its hashes; `parts` as it is sent where it is larger than one."""

    name: str
    source: Source = field(repr=False)
    size: int
    sha256: str
    parts: tuple[Part, ...] = field(default=(), repr=False)

    def read(self, part: Part) -> bytes:
        """The bytes of a part; raises SourceChangedError where they are no longer those that were hashed."""
        if isinstance(self.source, bytes):
            data = self.source[part.offset : part.offset + part.size]
        else:
            with open_source(self.source) as stream:
                stream.seek(part.offset)
                data = stream.read(part.size)
        if hashlib.sha256(data).digest() != part.sha256:
            raise changed(self.source)
        return data


@dataclass(frozen=True)
class OutgoingSet:
    """A data set ready to be sent under `prefix`."""

    manifest: Manifest
    files: tuple[Outgoing, ...]
    prefix: str = DATA_PREFIX

    def keyed(self) -> Iterator[tuple[str, Outgoing]]:
        """Every file and, last, the manifest, each with its key."""
        folder = self.manifest.data_prefix(self.prefix)
        yield from ((folder + file.name, file) for file in self.files)
        content = self.manifest.to_bytes()
        yield self.manifest.key(self.prefix), hashed("manifest.json", content)


def changed(source: Source) -> SourceChangedError:
    path = "the data" if isinstance(source, bytes) else str(source)
    return SourceChangedError(
        f"{path} changed while it was sent, so nothing of it was left in S3; send it when it is finished",
        path=path,
    )


def open_source(source: Source) -> BinaryIO:
    """The bytes as a stream; raises ConfigError for a file that cannot be read."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return source.open("rb")
    except OSError as error:
        raise unreadable(source, error.strerror or str(error)) from error


def unreadable(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"{path} cannot be sent: {reason}", field="source", value=str(path))


def hashed(name: str, source: Source, least: int = PART_BYTES) -> Outgoing:
    """The file with its hashes, read once; memory does not grow with it."""
    digests = _Digests(size_of(source), least)
    _read(source, (digests.feed,))
    return digests.outgoing(name, source)


def of_dataset(
    data: InstructionDataset, *, report: Mapping[str, Any] | None = None, prefix: str = DATA_PREFIX
) -> OutgoingSet:
    """The wire files of a dataset, as a training job gets them."""
    files = tuple(hashed(name, content) for name, content in sorted(data.wire_files().items()))
    characters = sum(len(file.source.decode()) for file in files if isinstance(file.source, bytes))
    manifest = Manifest(
        fingerprint=data.fingerprint,
        files=tuple(ManifestFile(file.name, file.size, file.sha256) for file in files),
        rows=len(data),
        characters=characters,
        format=data.format,
        template=data.template,
        report=report,
    )
    return OutgoingSet(manifest, files, prefix)


def of_path(path: Path, *, prefix: str = DATA_PREFIX, least: int = PART_BYTES) -> OutgoingSet:
    """A file, or every file below a folder, each read once; memory does not grow with them.

    Hidden files and folders (their names begin with a dot) are left out. A folder with a dataset's wire files
    has that dataset's fingerprint. Raises ConfigError for what is no plain file, for an empty folder, and for
    a name that cannot be a key.
    """
    found = dict(sorted(_named(path)))
    if not found:
        raise ConfigError(f"{path} holds no file to send", field="source", value=str(path))
    whole, text = hashlib.sha256(), _Text()
    files = []
    for name, file in found.items():
        size = size_of(file)
        digests = _Digests(size, least)
        whole.update(f"{name}\0{size}\0".encode())
        _read(file, (digests.feed, whole.update, text.reader(name)))
        files.append(digests.outgoing(name, file))
    manifest = Manifest(
        fingerprint=whole.hexdigest(),
        files=tuple(ManifestFile(file.name, file.size, file.sha256) for file in files),
        rows=text.rows,
        characters=text.characters,
        format=_format_of(found),
        template=_template_of(found),
    )
    ready = OutgoingSet(manifest, tuple(files), prefix)
    for key, _ in ready.keyed():
        require_key(key)
    return ready


def _named(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
        return
    if not path.is_dir():
        raise unreadable(path, "there is no file or folder of that name, or it is neither")
    for file in path.rglob("*"):
        name = file.relative_to(path)
        if any(part.startswith(".") for part in name.parts) or (file.is_dir() and not file.is_symlink()):
            continue
        if not file.is_file():
            raise unreadable(file, "it is no plain file")
        yield name.as_posix(), file


def size_of(source: Source) -> int:
    """Bytes of the source now; raises ConfigError for a file that is gone or cannot be looked at."""
    if isinstance(source, bytes):
        return len(source)
    try:
        return source.stat().st_size
    except OSError as error:
        raise unreadable(source, error.strerror or str(error)) from error


def _read(source: Source, sinks: tuple[Callable[[bytes], object], ...]) -> None:
    with open_source(source) as stream:
        while chunk := stream.read(_CHUNK):
            for sink in sinks:
                sink(chunk)


class _Digests:
    """Hashes of a file and of its parts, while its bytes go by."""

    def __init__(self, size: int, least: int) -> None:
        self._size, self._part_bytes = size, part_bytes(size, least)
        self._whole, self._part = hashlib.sha256(), hashlib.sha256()
        self._parts: list[Part] = []
        self._seen = self._filled = 0

    def feed(self, chunk: bytes) -> None:
        self._whole.update(chunk)
        self._seen += len(chunk)
        while chunk:
            piece = chunk[: self._part_bytes - self._filled]
            chunk = chunk[len(piece) :]
            self._part.update(piece)
            self._filled += len(piece)
            if self._filled == self._part_bytes:
                self._close()

    def _close(self) -> None:
        offset = len(self._parts) * self._part_bytes
        self._parts.append(Part(len(self._parts) + 1, offset, self._filled, self._part.digest()))
        self._part, self._filled = hashlib.sha256(), 0

    def outgoing(self, name: str, source: Source) -> Outgoing:
        if self._seen != self._size:
            raise changed(source)
        if self._filled or not self._parts:
            self._close()
        return Outgoing(name, source, self._size, self._whole.hexdigest(), tuple(self._parts))


class _Text:
    """Rows and characters of the files as text; None from the first that holds rows of another kind."""

    def __init__(self) -> None:
        self._lines: list[_Lines] = []
        self._characters: list[_Characters] = []
        self._has_all = True

    def reader(self, name: str) -> Callable[[bytes], None]:
        """What is fed with the bytes of the file of that name."""
        suffix = Path(name).suffix.lower()
        characters = _Characters(is_text=suffix in _TEXTS)
        self._characters.append(characters)
        if suffix != ".jsonl":
            self._has_all = self._has_all and name == TEMPLATE_FILE
            return characters.feed
        lines = _Lines()
        self._lines.append(lines)

        def feed(chunk: bytes) -> None:
            lines.feed(chunk)
            characters.feed(chunk)

        return feed

    @property
    def rows(self) -> int | None:
        return sum(lines.count for lines in self._lines) if self._has_all and self._lines else None

    @property
    def characters(self) -> int | None:
        counts = [characters.count for characters in self._characters]
        return None if None in counts else sum(count or 0 for count in counts)


class _Lines:
    """Lines that are not blank."""

    def __init__(self) -> None:
        self._ended, self._is_row = 0, False

    def feed(self, chunk: bytes) -> None:
        first, *rest = chunk.split(b"\n")
        self._is_row = self._is_row or bool(first.strip())
        for line in rest:
            self._ended += self._is_row
            self._is_row = bool(line.strip())

    @property
    def count(self) -> int:
        return self._ended + self._is_row


class _Characters:
    """Characters of UTF-8 text; None for anything else."""

    def __init__(self, *, is_text: bool) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._count: int | None = 0 if is_text else None

    def feed(self, chunk: bytes) -> None:
        if self._count is None:
            return
        try:
            self._count += len(self._decoder.decode(chunk))
        except UnicodeDecodeError:
            self._count = None

    @property
    def count(self) -> int | None:
        """A text that ends within a character is none."""
        return None if self._decoder.getstate()[0] else self._count


def _format_of(files: Mapping[str, Path]) -> str | None:
    """How the first rows are written, as far as that can be seen."""
    rows = next((file for name, file in files.items() if name.lower().endswith(".jsonl")), None)
    if rows is None:
        return None
    first = [row for _, row in islice(read_files(rows, Findings(str(rows))), DETECTION_ROWS)]
    shape = detect(first) if first else None
    return shape.name if shape else None


def _template_of(files: Mapping[str, Path]) -> PromptTemplate | None:
    file = files.get(TEMPLATE_FILE)
    if file is None or size_of(file) > _MAX_TEMPLATE:
        return None
    try:
        return PromptTemplate.from_json(file.read_text("utf-8"))
    except (TemplateError, ValueError):
        return None
