"""What CreateInferenceComponent demands beyond its shape."""

from __future__ import annotations

from collections.abc import Iterator

from ift_sagemaker.contract.rule import (
    Check,
    Effect,
    Request,
    Rule,
    number,
    present,
    repeated,
    section,
    structures,
    text,
)
from ift_sagemaker.contract.shared_rules import MODEL, tag_rules

OPERATION = "CreateInferenceComponent"
_KNOWN = "general knowledge"
_READ = "2026-11-23"
_MAX_VARIABLES = 16


def _specifications(params: Request) -> list[tuple[str, Request]]:
    one = section(params, "Specification")
    return ([("Specification", one)] if one else []) + structures(params, "Specifications")


def _containers(params: Request) -> list[tuple[str, Request]]:
    return [(f"{path}.Container", section(item, "Container")) for path, item in _specifications(params)]


def one_specification(params: Request) -> Iterator[str]:
    if len(present(params, ("Specification", "Specifications"))) == 2:
        yield "Specification and Specifications exclude each other"


def types_named(params: Request) -> Iterator[str]:
    several = structures(params, "Specifications")
    for path, item in several if len(several) > 1 else []:
        if not text(item, "InstanceType"):
            yield f"{path}.InstanceType is required where Specifications has several entries"


def types_unique(params: Request) -> Iterator[str]:
    named = [text(item, "InstanceType") for _, item in structures(params, "Specifications")]
    for name in repeated(name for name in named if name):
        yield f"Specifications: {name} occurs more than once"


def variant_named(params: Request) -> Iterator[str]:
    adapters = [item for _, item in _specifications(params) if text(item, "BaseInferenceComponentName")]
    if not adapters and not text(params, "VariantName"):
        yield "VariantName is absent: a component that is no adapter is placed on a variant"


def model_or_container(params: Request) -> Iterator[str]:
    for path, item in _specifications(params):
        if len(present(item, ("ModelName", "Container"))) != 1:
            yield f"{path}: give one of ModelName and Container"


def adapter_resources(params: Request) -> Iterator[str]:
    for path, item in _specifications(params):
        given = bool(section(item, "ComputeResourceRequirements"))
        if text(item, "BaseInferenceComponentName") and given:
            yield f"{path}.ComputeResourceRequirements: an adapter uses those of its base component"
        if not text(item, "BaseInferenceComponentName") and not given:
            yield f"{path}.ComputeResourceRequirements is absent and the component is no adapter"


def adapter_artefact(params: Request) -> Iterator[str]:
    for path, item in _specifications(params):
        if text(item, "BaseInferenceComponentName") and not text(section(item, "Container"), "ArtifactUrl"):
            yield f"{path}.Container.ArtifactUrl is absent: it says where the adapter is"


def artefact_suffix(params: Request) -> Iterator[str]:
    for path, container in _containers(params):
        url = text(container, "ArtifactUrl")
        if url and not url.endswith(".tar.gz"):
            yield f"{path}.ArtifactUrl: {url!r} does not end in .tar.gz"


def environment_entries(params: Request) -> Iterator[str]:
    for path, container in _containers(params):
        count = len(section(container, "Environment"))
        if count > _MAX_VARIABLES:
            yield f"{path}.Environment: {count} entries, allowed are at most {_MAX_VARIABLES}"


def memory_range(params: Request) -> Iterator[str]:
    for path, item in _specifications(params):
        needs = section(item, "ComputeResourceRequirements")
        low, high = number(needs, "MinMemoryRequiredInMb"), number(needs, "MaxMemoryRequiredInMb")
        if low is not None and high is not None and low > high:
            yield f"{path}: MinMemoryRequiredInMb {low} is over MaxMemoryRequiredInMb {high}"


def partition_device(params: Request) -> Iterator[str]:
    for path, item in _specifications(params):
        needs = section(item, "ComputeResourceRequirements")
        devices = needs.get("NumberOfAcceleratorDevicesRequired")
        if text(needs, "AcceleratorPartitionType") and devices != 1:
            yield f"{path}: NumberOfAcceleratorDevicesRequired is {devices}, 1 with AcceleratorPartitionType"


def _rule(name: str, sentence: str, source: str, function: Check, effect: Effect = "refused") -> Rule:
    return Rule(f"component.{name}", OPERATION, sentence, source, _READ, function, effect)


COMPONENT_RULES: tuple[Rule, ...] = (
    _rule(
        "one-specification",
        "A component has a Specification or Specifications, not both.",
        f"{MODEL}: CreateInferenceComponentInput.Specifications",
        one_specification,
    ),
    _rule(
        "types-named",
        "Each of several Specifications names its InstanceType.",
        f"{MODEL}: InferenceComponentSpecification.InstanceType",
        types_named,
    ),
    _rule(
        "types-unique", "An instance type stands once in Specifications.", _KNOWN, types_unique, "doubtful"
    ),
    _rule(
        "variant-named",
        "A component that is no adapter names its variant.",
        _KNOWN,
        variant_named,
        "doubtful",
    ),
    _rule(
        "model-or-container",
        "A specification has a ModelName or a Container.",
        _KNOWN,
        model_or_container,
        "doubtful",
    ),
    _rule(
        "adapter-resources",
        "Compute resources are given for a component, and left out for an adapter.",
        f"{MODEL}: InferenceComponentSpecification.ComputeResourceRequirements, as advice; refusal: {_KNOWN}",
        adapter_resources,
        "doubtful",
    ),
    _rule(
        "adapter-artefact",
        "An adapter says where its artefact is.",
        f"{MODEL}: InferenceComponentSpecification.BaseInferenceComponentName, as advice; refusal: {_KNOWN}",
        adapter_artefact,
        "doubtful",
    ),
    _rule(
        "artefact-suffix",
        "ArtifactUrl points to a .tar.gz.",
        f"{MODEL}: InferenceComponentContainerSpecification.ArtifactUrl",
        artefact_suffix,
    ),
    _rule(
        "environment-entries",
        "A component's container has at most 16 environment variables (the shape says 100).",
        f"{MODEL}: InferenceComponentContainerSpecification.Environment",
        environment_entries,
    ),
    _rule("memory-range", "The least memory is at most the most.", _KNOWN, memory_range, "doubtful"),
    _rule(
        "partition-device",
        "A component on a part of an accelerator asks for one device.",
        f"{MODEL}: InferenceComponentComputeResourceRequirements.AcceleratorPartitionType",
        partition_device,
    ),
    *tag_rules(OPERATION, "component"),
)
