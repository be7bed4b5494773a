"""Filling `/opt/ml` on every host of a processing job: configuration files, inputs from S3, empty outputs.

Source, unless another is named:
https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ift_sagemaker.local.processing.document import below_ml, hosts, inputs, outputs
from ift_sagemaker.local.running.channels import SHARDED, items_of
from ift_sagemaker.local.running.staging import READ_ONLY, Downloads, Item, Reading
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.state.resources import Document

CONFIG = "config"
MESSAGE = ("output", "message")

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
        downloads = Downloads(objects, share=share and name in safe)
        for index, root in enumerate(roots.values()):
            with Reading(source["S3Uri"]):
                downloads.place(
                    shard(found, index, len(roots), source["S3DataDistributionType"]), root / name
                )
        yield source["Name"]


def guarded(job: Document) -> tuple[str, ...]:
    """The folders below `/opt/ml` that the program may not write: all inputs that hold no output."""
    written = [PurePosixPath(below_ml(output["LocalPath"])) for output in outputs(job)]
    read = {PurePosixPath(below_ml(source["LocalPath"])) for source in inputs(job)}
    safe = (path for path in read if not any(output.is_relative_to(path) for output in written))
    return (CONFIG, *map(str, sorted(safe)))


def located(source: Mapping[str, Any], objects: ObjectStore) -> list[Item]:
    """Every file of an input, in the order in which they are dealt out to the hosts.

    Raises:
        DownloadError: there is none, one of a manifest is missing, or a name leads elsewhere.
    """
    found = items_of(objects, source["S3Uri"], source["S3DataType"])
    return [item for item in found if not item.is_folder]


def shard(files: Sequence[T], index: int, count: int, distribution: str) -> Sequence[T]:
    """What host number `index` of `count` gets of an input.

    Sharded, each object goes to one host, and with fewer objects than hosts some get nothing (botocore's
    model, S3DataSource.S3DataDistributionType). That they are dealt out in turn is general knowledge.
    """
    return files[index::count] if distribution == SHARDED else files


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
