"""What Bedrock's ways to a model of one's own demand beyond their shapes."""

from __future__ import annotations

from collections.abc import Iterator

from ift_sagemaker.contract.rule import Check, Effect, Request, Rule, present, section, text

MODEL = "botocore 1.44.5, service model of Bedrock"
CUSTOMIZATION, CUSTOM_MODEL, IMPORT = (
    "CreateModelCustomizationJob",
    "CreateCustomModel",
    "CreateModelImportJob",
)
_KNOWN = "general knowledge"
_READ = "2026-11-23"
_CONFIGURED = {"DISTILLATION": "distillationConfig", "REINFORCEMENT_FINE_TUNING": "rftConfig"}


def one_model_source(params: Request) -> Iterator[str]:
    if len(present(params, ("modelSourceConfig", "customModelDataSource"))) == 2:
        yield "modelSourceConfig and customModelDataSource exclude each other"


def model_source_needed(params: Request) -> Iterator[str]:
    if not present(params, ("modelSourceConfig", "customModelDataSource")):
        yield "give modelSourceConfig or customModelDataSource: there is nothing to make the model of"


def role_with_s3(params: Request) -> Iterator[str]:
    if section(params, "modelSourceConfig", "s3DataSource") and not text(params, "roleArn"):
        yield "roleArn is required where modelSourceConfig is an S3 data source"


def one_training_source(params: Request) -> Iterator[str]:
    given = present(section(params, "trainingDataConfig"), ("s3Uri", "invocationLogsConfig"))
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        yield f"trainingDataConfig: give one of s3Uri and invocationLogsConfig, not {found}"


def kind_configured(params: Request) -> Iterator[str]:
    kind = text(params, "customizationType")
    needed = _CONFIGURED.get(kind)
    if needed and not present(section(params, "customizationConfig"), (needed,)):
        yield f"customizationConfig.{needed} is absent, which {kind} needs"


def files_under_a_prefix(params: Request) -> Iterator[str]:
    uri = text(section(params, "modelDataSource", "s3DataSource"), "s3Uri")
    if uri.endswith((".tar.gz", ".tgz", ".zip")):
        yield f"modelDataSource.s3DataSource.s3Uri: {uri!r} is an archive; Bedrock reads files under a prefix"


def _rule(
    name: str, operation: str, sentence: str, source: str, function: Check, effect: Effect = "refused"
) -> Rule:
    return Rule(f"bedrock.{name}", operation, sentence, source, _READ, function, effect)


BEDROCK_RULES: tuple[Rule, ...] = (
    _rule(
        "one-model-source",
        CUSTOM_MODEL,
        "A custom model has one source.",
        f"{MODEL}: CreateCustomModelRequest.customModelDataSource",
        one_model_source,
    ),
    _rule(
        "model-source-needed",
        CUSTOM_MODEL,
        "A custom model has a source.",
        _KNOWN,
        model_source_needed,
        "doubtful",
    ),
    _rule(
        "role-with-s3",
        CUSTOM_MODEL,
        "A custom model from S3 has a role.",
        f"{MODEL}: CreateCustomModelRequest.roleArn",
        role_with_s3,
    ),
    _rule(
        "one-training-source",
        CUSTOMIZATION,
        "Training data come from S3 or from invocation logs.",
        _KNOWN,
        one_training_source,
        "doubtful",
    ),
    _rule(
        "kind-configured",
        CUSTOMIZATION,
        "Distillation and reinforcement fine-tuning have their configuration.",
        _KNOWN,
        kind_configured,
        "doubtful",
    ),
    _rule(
        "files-under-a-prefix",
        IMPORT,
        "An import reads Hugging Face files under a prefix, not an archive.",
        f"Amazon Bedrock user guide, import a customized model; refusal: {_KNOWN}",
        files_under_a_prefix,
        "doubtful",
    ),
)
