"""Work on instruction data as SageMaker Processing jobs: pieces dealt out by S3 key, then one merge.

The program travels as an input, as that of a training job does; the image brings Python and its packages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from ift_sagemaker.catalog.images import training_image
from ift_sagemaker.contract import names
from ift_sagemaker.contract.storage import has_local_nvme
from ift_sagemaker.data.sharding.order import ORDER_FILE, Piece, WorkOrder
from ift_sagemaker.plan.plans import PREFIX, Place, Upload, refuse_violations, tag_list
from ift_sagemaker.plan.routes.container import TAG_FINGERPRINT, TAG_KIND, fingerprint_of
from ift_sagemaker.wire.paths import ML_ROOT, PROGRAM_FILE
from ift_sagemaker.wire.program import Program

DEFAULT_INSTANCE_TYPE = "ml.m5.xlarge"
INPUT = f"{ML_ROOT}/processing/input"
OUTPUT = f"{ML_ROOT}/processing/output"
SHARDED, REPLICATED = "ShardedByS3Key", "FullyReplicated"


@dataclass(frozen=True)
class Fleet:
    """The instances of the job that works on pieces; what they merge is merged by one.

    `image` has Python 3.11 or later with the packages that docs/how-to/check-your-data.md names; default:
    AWS's training image.
    """

    instances: int = 1
    instance_type: str = DEFAULT_INSTANCE_TYPE
    volume_size_in_gb: int = 100
    max_runtime_in_seconds: int = 4 * 3600
    image: str | None = None
    volume_kms_key: str | None = None
    output_kms_key: str | None = None


@dataclass(frozen=True)
class ProcessingPlan:
    """One processing job: what is uploaded, then the request. `results` is the prefix that it writes to."""

    fingerprint: str
    place: Place
    uploads: tuple[Upload, ...] = field(repr=False)
    request: Mapping[str, Any] = field(repr=False)
    results: str

    @property
    def name(self) -> str:
        return str(self.request["ProcessingJobName"])

    def check(self) -> None:
        """Raises RequestError with everything that AWS would refuse."""
        refuse_violations("CreateProcessingJob", self.request)


def path_of(address: str) -> str:
    """Where a host finds an object below its inputs: in a folder of its bucket, under its key."""
    bucket = _bucket(address)
    return f"rows-{_sha256(bucket.encode())[:8]}/{address.removeprefix(f's3://{bucket}/')}"


def plan_pieces(
    kind: str,
    order: WorkOrder,
    stamps: Mapping[str, tuple[str, int]],
    fleet: Fleet,
    place: Place,
    program: Program,
    attempt: int = 1,
) -> ProcessingPlan:
    """The job that does every piece of the order: `kind` is "check" or "convert".

    `stamps` are ETag and size of each object; the same order over the same objects has the same name.
    """
    fingerprint = _fingerprint(kind, order, program, stamps=sorted(stamps.items()))
    name = names.job_name(f"data-{kind}", fingerprint, attempt)
    manifests = _manifests(order.pieces, stamps)
    folder = _order_folder(order)
    uploads = [*_shared_uploads(order, program), *(_upload(folder + key, text) for key, text in manifests)]
    inputs = [
        _input(key.partition("/")[2].removesuffix(".json"), place.uri(folder + key), "ManifestFile", SHARDED)
        for key, _ in manifests
    ]
    return _plan(
        kind, name, fingerprint, fleet, place, uploads, [*_shared_inputs(order, program, place), *inputs]
    )


def plan_merge(
    order: WorkOrder, checked: ProcessingPlan, fleet: Fleet, program: Program, attempt: int = 1
) -> ProcessingPlan:
    """The job of one instance that makes a report of what the job `checked` has left."""
    fingerprint = _fingerprint("merge", order, program, states=checked.results)
    name = names.job_name("data-merge", fingerprint, attempt)
    states = _input("states", checked.results, "S3Prefix", REPLICATED)
    one = replace(fleet, instances=1)
    uploads = _shared_uploads(order, program)
    inputs = [*_shared_inputs(order, program, checked.place), states]
    return _plan("merge", name, fingerprint, one, checked.place, uploads, inputs)


def _plan(
    kind: str,
    name: str,
    fingerprint: str,
    fleet: Fleet,
    place: Place,
    uploads: Sequence[Upload],
    inputs: Sequence[Mapping[str, Any]],
) -> ProcessingPlan:
    results = place.uri(f"{PREFIX}/processing/{name}/")
    cluster: dict[str, Any] = {
        "InstanceCount": fleet.instances,
        "InstanceType": fleet.instance_type,
        "VolumeSizeInGB": fleet.volume_size_in_gb,
    }
    if fleet.volume_kms_key and not has_local_nvme(fleet.instance_type):
        cluster["VolumeKmsKeyId"] = fleet.volume_kms_key
    outputs: dict[str, Any] = {
        "Outputs": [
            {
                "OutputName": "results",
                "S3Output": {"S3Uri": results, "LocalPath": OUTPUT, "S3UploadMode": "EndOfJob"},
            }
        ]
    }
    if fleet.output_kms_key:
        outputs["KmsKeyId"] = fleet.output_kms_key
    request = {
        "ProcessingJobName": name,
        "RoleArn": place.role,
        "AppSpecification": {
            "ImageUri": fleet.image or training_image(place.region),
            "ContainerEntrypoint": ["python3", f"{INPUT}/program/{PROGRAM_FILE}"],
            "ContainerArguments": [kind],
        },
        "ProcessingInputs": list(inputs),
        "ProcessingOutputConfig": outputs,
        "ProcessingResources": {"ClusterConfig": cluster},
        "StoppingCondition": {"MaxRuntimeInSeconds": fleet.max_runtime_in_seconds},
        "NetworkConfig": {"EnableNetworkIsolation": True},
        "Tags": tag_list({TAG_FINGERPRINT: fingerprint, TAG_KIND: f"data-{kind}"}),
    }
    return ProcessingPlan(fingerprint, place, tuple(uploads), request, results)


def _shared_inputs(order: WorkOrder, program: Program, place: Place) -> list[dict[str, Any]]:
    return [
        _input("program", place.uri(_program_folder(program)), "S3Prefix", REPLICATED),
        _input("order", place.uri(f"{_order_folder(order)}order/"), "S3Prefix", REPLICATED),
    ]


def _input(name: str, uri: str, data_type: str, distribution: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{INPUT}/{name}",
            "S3DataType": data_type,
            "S3InputMode": "File",
            "S3DataDistributionType": distribution,
        },
    }


def _manifests(pieces: Sequence[Piece], stamps: Mapping[str, tuple[str, int]]) -> list[tuple[str, bytes]]:
    """A manifest for the objects of each bucket, large ones first: dealt out in turn, hosts get as much."""
    found: dict[str, list[str]] = {}
    heaviest = sorted(
        {piece.address: piece for piece in pieces}.values(), key=lambda one: -stamps[one.address][1]
    )
    for piece in heaviest:
        found.setdefault(piece.path.partition("/")[0], []).append(piece.address)
    manifests = []
    for folder, addresses in sorted(found.items()):
        prefix = f"s3://{_bucket(addresses[0])}/"
        entries = [{"prefix": prefix}, *(address.removeprefix(prefix) for address in addresses)]
        manifests.append((f"manifests/{folder}.json", json.dumps(entries, ensure_ascii=False).encode()))
    return manifests


def _bucket(address: str) -> str:
    return urlsplit(address).netloc


def _fingerprint(kind: str, order: WorkOrder, program: Program, **more: Any) -> str:
    """Over what decides the result, and not over who works it out."""
    return fingerprint_of(
        {"kind": kind, "order": _sha256(order.to_bytes()), "program": program.sha256, **more}
    )


def _shared_uploads(order: WorkOrder, program: Program) -> list[Upload]:
    return [
        Upload(
            _program_folder(program) + PROGRAM_FILE, program.sha256, len(program.content), program.content
        ),
        _upload(f"{_order_folder(order)}order/{ORDER_FILE}", order.to_bytes()),
    ]


def _upload(key: str, content: bytes) -> Upload:
    return Upload(key, _sha256(content), len(content), content)


def _program_folder(program: Program) -> str:
    return f"{PREFIX}/program/{program.sha256}/"


def _order_folder(order: WorkOrder) -> str:
    return f"{PREFIX}/processing/orders/{_sha256(order.to_bytes())}/"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
