"""What CreateProcessingJob demands beyond its shape."""

from __future__ import annotations

from collections.abc import Iterator

from ift_sagemaker.contract.rule import (
    Check,
    Request,
    Rule,
    is_true,
    present,
    repeated,
    section,
    structures,
    text,
)
from ift_sagemaker.contract.shared_rules import MODEL, tag_rules
from ift_sagemaker.contract.storage import has_local_nvme

OPERATION = "CreateProcessingJob"
_READ = "2026-11-23"
_FOLDER = "/opt/ml/processing/"
_CONTAINER_PAGE = "docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html"


def _cluster(params: Request) -> Request:
    return section(params, "ProcessingResources", "ClusterConfig")


def _inputs(params: Request) -> list[tuple[str, Request]]:
    return structures(params, "ProcessingInputs")


def _outputs(params: Request) -> list[tuple[str, Request]]:
    found = structures(section(params, "ProcessingOutputConfig"), "Outputs")
    return [(f"ProcessingOutputConfig.{path}", output) for path, output in found]


def volume_key_on_nvme(params: Request) -> Iterator[str]:
    name = text(_cluster(params), "InstanceType")
    if present(_cluster(params), ("VolumeKmsKeyId",)) and has_local_nvme(name):
        yield (
            f"ClusterConfig.VolumeKmsKeyId cannot be asked for on {name}: its local disks are "
            "encrypted by the instance itself"
        )


def one_source(params: Request) -> Iterator[str]:
    for path, given in _inputs(params):
        if len(present(given, ("S3Input", "DatasetDefinition"))) != 1:
            yield f"{path}: give exactly one of S3Input and DatasetDefinition"


def one_destination(params: Request) -> Iterator[str]:
    for path, given in _outputs(params):
        if len(present(given, ("S3Output", "FeatureStoreOutput"))) != 1:
            yield f"{path}: give exactly one of S3Output and FeatureStoreOutput"


def local_path(params: Request) -> Iterator[str]:
    given = [(path, item, section(item, "S3Input")) for path, item in _inputs(params)]
    given += [(path, item, section(item, "S3Output")) for path, item in _outputs(params)]
    for path, item, place in given:
        folder = text(place, "LocalPath")
        if place and not is_true(item, "AppManaged") and not folder.startswith(_FOLDER):
            yield f"{path}: LocalPath is {folder!r} and must begin with {_FOLDER}"


def input_paths_unique(params: Request) -> Iterator[str]:
    folders = [text(section(item, "S3Input"), "LocalPath").rstrip("/") for _, item in _inputs(params)]
    for folder in repeated(folder for folder in folders if folder):
        yield f"ProcessingInputs: the LocalPath {folder!r} occurs more than once"


def gzip_with_pipe(params: Request) -> Iterator[str]:
    for path, item in _inputs(params):
        source = section(item, "S3Input")
        if text(source, "S3CompressionType") == "Gzip" and text(source, "S3InputMode") != "Pipe":
            yield f"{path}.S3Input.S3CompressionType: Gzip needs the S3InputMode Pipe"


def feature_store_app_managed(params: Request) -> Iterator[str]:
    for path, given in _outputs(params):
        if section(given, "FeatureStoreOutput") and not is_true(given, "AppManaged"):
            yield f"{path}: a FeatureStoreOutput needs AppManaged"


def _rule(name: str, sentence: str, source: str, function: Check) -> Rule:
    return Rule(f"processing.{name}", OPERATION, sentence, source, _READ, function)


PROCESSING_RULES: tuple[Rule, ...] = (
    _rule(
        "volume-key-on-nvme",
        "VolumeKmsKeyId is refused on instance types with local storage.",
        f"{MODEL}: ProcessingClusterConfig.VolumeKmsKeyId",
        volume_key_on_nvme,
    ),
    _rule(
        "one-source",
        "An input has one of S3Input and DatasetDefinition.",
        f"{MODEL}: ProcessingInput",
        one_source,
    ),
    _rule(
        "one-destination",
        "An output has one of S3Output and FeatureStoreOutput.",
        f"{MODEL}: ProcessingOutput",
        one_destination,
    ),
    _rule(
        "local-path",
        f"What SageMaker downloads or uploads has a LocalPath that begins with {_FOLDER}.",
        f"{MODEL}: ProcessingS3Input.LocalPath; for outputs {_CONTAINER_PAGE}",
        local_path,
    ),
    _rule(
        "input-paths-unique",
        "Every input has a LocalPath of its own.",
        "aws/sagemaker-python-sdk, thread 4939",
        input_paths_unique,
    ),
    _rule(
        "gzip-with-pipe",
        "Gzip goes with the input mode Pipe only.",
        f"{MODEL}: ProcessingS3Input.S3CompressionType",
        gzip_with_pipe,
    ),
    _rule(
        "feature-store-app-managed",
        "A FeatureStoreOutput is for AppManaged outputs only.",
        f"{MODEL}: ProcessingOutput.FeatureStoreOutput",
        feature_store_app_managed,
    ),
    *tag_rules(OPERATION, "processing"),
)
