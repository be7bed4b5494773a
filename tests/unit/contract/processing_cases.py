"""For each rule of a processing request one that keeps it and one that breaks it."""

from __future__ import annotations

from typing import Any

from tests.unit.contract.requests import PROCESSING, changed

_CLUSTER = "ProcessingResources__ClusterConfig__"
_INPUT, _OUTPUT = "ProcessingInputs__0__", "ProcessingOutputConfig__Outputs__0__"
_SOURCE = PROCESSING["ProcessingInputs"][0]["S3Input"]
_DATASET = {"LocalPath": "/opt/ml/processing/dataset"}
_STORE = {"FeatureGroupName": "features"}


def _changed(**changes: Any) -> dict[str, Any]:
    return changed(PROCESSING, **changes)


def _two_inputs(second: str) -> dict[str, Any]:
    inputs = [
        {"InputName": name, "S3Input": {**_SOURCE, "LocalPath": path}}
        for name, path in (("rows", _SOURCE["LocalPath"]), ("code", second))
    ]
    return _changed(ProcessingInputs=inputs)


def _key_on(instance_type: str) -> dict[str, Any]:
    return _changed(**{f"{_CLUSTER}VolumeKmsKeyId": "key", f"{_CLUSTER}InstanceType": instance_type})


PROCESSING_CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "processing.volume-key-on-nvme": (_key_on("ml.m5.xlarge"), _key_on("ml.g5.xlarge")),
    "processing.one-source": (PROCESSING, _changed(**{f"{_INPUT}DatasetDefinition": _DATASET})),
    "processing.one-destination": (PROCESSING, _changed(**{f"{_OUTPUT}FeatureStoreOutput": _STORE})),
    "processing.local-path": (
        _changed(**{f"{_INPUT}S3Input__LocalPath": None, f"{_INPUT}AppManaged": True}),
        _changed(**{f"{_OUTPUT}S3Output__LocalPath": "/opt/ml/output"}),
    ),
    "processing.input-paths-unique": (
        _two_inputs("/opt/ml/processing/input/code"),
        _two_inputs("/opt/ml/processing/input/"),
    ),
    "processing.gzip-with-pipe": (
        _changed(**{f"{_INPUT}S3Input__S3CompressionType": "Gzip", f"{_INPUT}S3Input__S3InputMode": "Pipe"}),
        _changed(**{f"{_INPUT}S3Input__S3CompressionType": "Gzip"}),
    ),
    "processing.feature-store-app-managed": (
        _changed(
            **{
                f"{_OUTPUT}S3Output": None,
                f"{_OUTPUT}FeatureStoreOutput": _STORE,
                f"{_OUTPUT}AppManaged": True,
            }
        ),
        _changed(**{f"{_OUTPUT}S3Output": None, f"{_OUTPUT}FeatureStoreOutput": _STORE}),
    ),
}
