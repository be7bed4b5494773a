"""What a job leaves: why it failed, and what of all its hosts goes to S3."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ift_sagemaker.local.running import artifacts
from ift_sagemaker.local.running.hosts import Host
from ift_sagemaker.local.running.left_behind import Left, MergedFolders, ProgramFolder
from ift_sagemaker.local.state.resources import MAX_REASON, split_s3
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.training import document as job_document
from ift_sagemaker.local.training.record import JobRecord
from ift_sagemaker.wire.paths import MLPaths


class Results:
    """The results below `/opt/ml` of every host, once no program runs any more."""

    def __init__(self, record: JobRecord, place: Workplace, hosts: Sequence[Host]) -> None:
        self._record = record
        self._place = place
        self._hosts = hosts

    def failure(self, host: str) -> str | None:
        """What the program of a host wrote to its failure file."""
        paths = MLPaths(self._place.ml(host))
        return ProgramFolder(paths.root, paths.failure.parent.name).read_text(paths.failure.name, MAX_REASON)

    def upload(self, *, whole: bool) -> None:
        """Packs everything, then puts it; where that fails, what was new in S3 is taken back.

        Only a job that ended by itself (`whole`) has a model even where it is empty.

        Raises:
            ServiceError: S3 does not take it.
        """
        left = self._left(whole=whole)
        if not left:
            return
        self._record.update(lambda job, now: job_document.enter(job, "Uploading", now))
        bucket, prefix = split_s3(self._record.asked["OutputDataConfig"]["S3OutputPath"])
        base = f"{prefix.rstrip('/')}/{self._record.name}/output/".lstrip("/")
        uploads = [upload for title, folder in left for upload in self._packed(folder, f"{base}{title}")]
        artifacts.put_all(self._record.context.objects, bucket, uploads)

    def _left(self, *, whole: bool) -> list[tuple[str, Left]]:
        """What goes to S3, by title."""
        paths = [MLPaths(self._place.ml(host.name)) for host in self._hosts]
        model = MergedFolders([_folder(each.root, each.model) for each in paths])
        output = MergedFolders([_folder(each.root, each.output_data) for each in paths])
        found: list[tuple[str, Left]] = [("model", model)] if whole or not model.is_empty() else []
        return found + ([] if output.is_empty() else [("output", output)])

    def _packed(self, folder: Left, key: str) -> list[artifacts.Upload]:
        title = key.rpartition("/")[2]
        if self._record.asked["OutputDataConfig"].get("CompressionType") == "NONE":
            return artifacts.as_files(folder, f"{key}/", self._place.outgoing / title)
        archive = self._place.outgoing / f"{title}.tar.gz"
        return artifacts.archived(folder, archive, f"{key}.tar.gz")


def _folder(root: Path, path: Path) -> ProgramFolder:
    return ProgramFolder(root, path.relative_to(root).as_posix())
