"""Filling `/opt/ml` on every host of a processing job: configuration files, inputs from S3, empty outputs.

Source, unless another is named:
https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ift_sagemaker.local.processing.document import below_ml, hosts, inputs, outputs
from ift_sagemaker.local.protocol.errors import DISK_FULL, ServiceError
from ift_sagemaker.local.running.staging import READ_ONLY, DownloadError, relative_name, safe_name
from ift_sagemaker.local.s3.objects import ObjectStore, StoredObject
from ift_sagemaker.local.state.resources import Document, split_s3

CONFIG = "config"
MESSAGE = ("output", "message")
MAX_MANIFEST_BYTES = 64 << 20

File = tuple[StoredObject, PurePosixPath]
T = TypeVar("T")


def stage(job: Document, roots: Mapping[str, Path], objects: ObjectStore, *, share: bool) -> Iterator[str]:
    """Fills each host's `/opt/ml` (`roots`, by host), yielding the name of each input that is there.

    Inputs are read-only files, with `share` hard links into the object store where the program cannot write
    them (see `guarded`).

    Raises:
        DownloadError: an input could not be put into place.
    """
    for host, root in roots.items():
        _make_folders(job, root)
        _configure(job, host, root)
    safe = guarded(job)
    for source in inputs(job):
        name = below_ml(source["LocalPath"])
        found = located(source, objects)
        for index, root in enumerate(roots.values()):
            mine = shard(found, index, len(roots), source["S3DataDistributionType"])
            _place_all(mine, root / name, objects, share=share and name in safe)
        yield source["Name"]


def guarded(job: Document) -> tuple[str, ...]:
    """The folders below `/opt/ml` that the program may not write: all inputs that hold no output."""
    written = [PurePosixPath(below_ml(output["LocalPath"])) for output in outputs(job)]
    read = {PurePosixPath(below_ml(source["LocalPath"])) for source in inputs(job)}
    safe = (path for path in read if not any(output.is_relative_to(path) for output in written))
    return (CONFIG, *map(str, sorted(safe)))


def located(source: Mapping[str, Any], objects: ObjectStore) -> list[File]:
    """Every file of an input: the object, and its name below the LocalPath.

    Raises:
        DownloadError: there is none, or its key is no file name.
    """
    uri = source["S3Uri"]
    try:
        if source["S3DataType"] == "ManifestFile":
            return list(_of_manifest(uri, objects))
        found = list(_of_prefix(uri, objects))
    except ServiceError as error:
        raise DownloadError(f"{error.code}: {error.message} ({uri})") from error
    if not found:
        raise DownloadError(f"No S3 objects found under S3 URL {uri}")
    return found


def shard(files: Sequence[T], index: int, count: int, distribution: str) -> Sequence[T]:
    """What host number `index` of `count` gets of an input.

    Sharded, each object goes to one host, and with fewer objects than hosts some get nothing (botocore's
    model, S3DataSource.S3DataDistributionType). That they are dealt out in turn is general knowledge.
    """
    return files[index::count] if distribution == "ShardedByS3Key" else files


def _of_prefix(uri: str, objects: ObjectStore) -> Iterator[File]:
    bucket, prefix = split_s3(uri)
    objects.bucket(bucket)
    for found in objects.list(bucket, prefix):
        if not found.key.endswith("/"):  # what consoles put for an empty folder
            yield found, safe_name(relative_name(found.key, prefix))


def _of_manifest(uri: str, objects: ObjectStore) -> Iterator[File]:
    """The objects a manifest names: `[{"prefix": "s3://…/"}, "name", …]`.

    Form as in botocore's model, S3DataSource.S3Uri (of training); that the names become paths is general
    knowledge.
    """
    prefix, names = _manifest(uri, objects)
    for name in names:
        bucket, key = split_s3(prefix + name)
        found = objects.get(bucket, key)
        if found is None:
            raise DownloadError(f"{prefix}{name} of the manifest {uri} is not there")
        yield found, safe_name(name)


def _manifest(uri: str, objects: ObjectStore) -> tuple[str, list[str]]:
    _, content = objects.use(*split_s3(uri), _read_document)
    try:
        head, *names = json.loads(content)
        prefix = head["prefix"]
    except (ValueError, TypeError, KeyError):
        prefix, names = None, []
    if not isinstance(prefix, str) or not all(isinstance(name, str) for name in names):
        raise DownloadError(f'{uri} is no manifest of the form [{{"prefix": "s3://…"}}, "name", …]')
    return prefix, names


def _read_document(path: Path) -> bytes:
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise DownloadError(f"a manifest is above {MAX_MANIFEST_BYTES} bytes")
    return path.read_bytes()


def _place_all(files: Sequence[File], folder: Path, objects: ObjectStore, *, share: bool) -> None:
    for found, name in files:
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _place(found, path, objects, share=share)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            raise DownloadError(
                f"s3://{found.bucket}/{found.key} cannot be a file here: {error.strerror}"
            ) from error


def _place(found: StoredObject, path: Path, objects: ObjectStore, *, share: bool) -> None:
    if share:
        objects.link(found.bucket, found.key, path)
        return
    path.touch(exist_ok=False)
    objects.use(found.bucket, found.key, lambda file: shutil.copyfile(file, path))
    path.chmod(READ_ONLY)


def _make_folders(job: Document, root: Path) -> None:
    below = [below_ml(item["LocalPath"]) for item in (*inputs(job), *outputs(job))]
    for name in (CONFIG, MESSAGE[0], *below):
        (root / name).mkdir(parents=True, exist_ok=True)


def _configure(job: Document, host: str, root: Path) -> None:
    resources = {"current_host": host, "hosts": list(hosts(job))}
    for name, content in (("processingjobconfig", configuration(job)), ("resourceconfig", resources)):
        path = root / CONFIG / f"{name}.json"
        path.write_text(json.dumps(content), "utf-8")
        path.chmod(READ_ONLY)


def configuration(job: Document) -> Document:
    """What SageMaker writes into `processingjobconfig.json`: the request, with null for what it left out."""
    output = job.get("ProcessingOutputConfig", {})
    return {
        "ProcessingJobArn": job["ProcessingJobArn"],
        "ProcessingJobName": job["ProcessingJobName"],
        "AppSpecification": {
            "ContainerEntrypoint": None,
            "ContainerArguments": None,
            **job["AppSpecification"],
        },
        "Environment": job.get("Environment", {}),
        "ProcessingInputs": [_with_defaults(given) for given in job.get("ProcessingInputs", [])],
        "ProcessingOutputConfig": {"Outputs": [], "KmsKeyId": None, **output},
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "VolumeKmsKeyId": None,
                **job["ProcessingResources"]["ClusterConfig"],
            }
        },
        "RoleArn": job["RoleArn"],
        "StoppingCondition": job["StoppingCondition"],
    }


def _with_defaults(given: Document) -> Document:
    if "S3Input" not in given:
        return given
    defaults = {
        "S3DataDistributionType": "FullyReplicated",
        "S3InputMode": "File",
        "S3CompressionType": "None",
        "S3DownloadMode": "StartOfJob",
    }
    return {**given, "S3Input": {**defaults, **given["S3Input"]}}
