"""Reading a `model.tar.gz` that somebody else may have made."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ift_sagemaker.errors import WeightsError


@dataclass(frozen=True)
class ArchiveLimits:
    """Caps against archives made to fill a disk."""

    members: int = 10_000
    total_bytes: int = 200 * 2**30
    ratio: float = 200.0
    """Largest allowed size unpacked over size packed."""


def _checked_members(
    archive: tarfile.TarFile, path: Path, limits: ArchiveLimits
) -> Iterator[tarfile.TarInfo]:
    allowed_bytes = min(limits.total_bytes, int(path.stat().st_size * limits.ratio) + 2**20)
    total = 0
    for count, member in enumerate(archive, start=1):
        if not (member.isfile() or member.isdir()):
            raise WeightsError(f"{path}: {member.name!r} is neither file nor folder; not unpacked")
        if member.name.startswith("/"):
            raise WeightsError(f"{path}: {member.name!r} is an absolute path; not unpacked")
        total += member.size
        if count > limits.members or total > allowed_bytes:
            raise WeightsError(
                f"{path}: over {limits.members} members or {allowed_bytes} bytes; not unpacked"
            )
        yield member


def unpack(path: Path, folder: Path, limits: ArchiveLimits | None = None) -> None:
    """Unpacks a tar or tar.gz into `folder`, which is made.

    Only files and folders that stay inside; raises WeightsError for anything else, for a damaged archive, or
    for one beyond `limits`. What was written until then stays: give it a folder of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(path) as archive:
            for member in _checked_members(archive, path, limits or ArchiveLimits()):
                archive.extract(member, folder, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise WeightsError(f"{path} is damaged or unsafe and was not unpacked: {error}") from error
