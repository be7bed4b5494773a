"""The generated pages. `python -m tests.docs.pages` writes them; a test fails when one is out of date."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ift_sagemaker.catalog.weights import Weights, WeightsFile
from ift_sagemaker.cli.tree import ift
from ift_sagemaker.contract.shapes import service_model
from ift_sagemaker.data.sending.manifest import Manifest, ManifestFile
from ift_sagemaker.local.reference.row import LABELS, Row
from ift_sagemaker.local.reference.tables import OPERATIONS_BY_SERVICE, SETTINGS
from ift_sagemaker.local.running.isolation import named
from ift_sagemaker.local.state.settings import RUNNERS, LocalSettings
from ift_sagemaker.plan.deployments.vllm import Deployable, plan_deployment
from ift_sagemaker.plan.plans import JobPlan, Place
from ift_sagemaker.plan.routes.container import (
    EvaluationInputs,
    Rows,
    TrainingInputs,
    TunedModel,
    plan_evaluation,
    plan_training,
)
from ift_sagemaker.plan.spec import Compute, FineTuneSpec
from ift_sagemaker.wire.hyperparameters import (
    EVALUATION_HYPERPARAMETERS,
    TRAINING_HYPERPARAMETERS,
    Hyperparameter,
)
from ift_sagemaker.wire.program import Program
from tests.docs import route_requests
from tests.docs.offered import offered

MODEL = "smollm2-135m-instruct"
ROLE = "arn:aws:iam::123456789012:role/execution"
DOCS = Path(__file__).parents[2] / "docs" / "reference"


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """The command and everything below it, in the tree's order."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from commands(below, click.Context(below, parent=context, info_name=name))


def cli_page() -> str:
    root = click.Context(ift, info_name="ift", **ift.context_settings)
    parts = ["# Command line\n\nGenerated from the commands themselves.\n"]
    for context in commands(ift, root):
        context.terminal_width = context.max_content_width = 90
        text = context.command.get_help(context)
        parts.append(f"## `{context.command_path}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _table(entries: tuple[Hyperparameter, ...]) -> str:
    rows = [f"| `{h.name}` | `{h.default}` | {h.allowed} | {h.help} |" for h in entries]
    return "\n".join(["| name | default | allowed | what it is |", "|---|---|---|---|", *rows])


def hyperparameters_page() -> str:
    return (
        "# Hyperparameters\n\nGenerated from the table that the SDK checks with and the program reads with. "
        "Names are JumpStart's.\n\n"
        f"## Training\n\n{_table(TRAINING_HYPERPARAMETERS)}\n\n"
        f"## Evaluation\n\n{_table(EVALUATION_HYPERPARAMETERS)}\n"
    )


def requests_page() -> str:
    """The requests of one run, hashes stood in for by repeated letters; each has passed shapes and rules."""
    place = Place("us-east-1", "123456789012", "sagemaker-us-east-1-123456789012", ROLE)
    weights = Weights("", Path(), (WeightsFile("model.safetensors", 269_060_552, "a" * 64),), "b" * 64)
    sent = Program(b"", "c" * 64)
    manifest = Manifest("d" * 64, (ManifestFile("train.jsonl", 3, "e" * 64),), 346)
    rows = Rows({"train.jsonl": b"{}\n"}, "d" * 64, 346, manifest)
    training = plan_training(TrainingInputs(FineTuneSpec(model=MODEL), weights, sent, rows), place)
    artifact = place.uri(f"ift/jobs/{training.name}/output/model.tar.gz")
    tuned = TunedModel(training.name, MODEL, artifact, _base_of(training), Compute())
    evaluation = plan_evaluation(EvaluationInputs(tuned, rows, sent, {}), place)
    endpoint = plan_deployment(Deployable(training.name, MODEL, artifact, owner="0123456789abcdef"), place)
    for plan in (training, evaluation, endpoint):
        plan.check()
    introduction = (
        "# Requests\n\nGenerated. What one run of SmolLM2-135M-Instruct asks of AWS, each hash stood in for "
        "by one letter repeated.\nEvery request here has passed botocore's shapes and `contract.rules`.\n"
    )
    parts = [
        introduction,
        _request("CreateTrainingJob, training", training.request),
        _request("CreateTrainingJob, evaluation", evaluation.request),
        _request("CreateModel", endpoint.create_model),
        _request("CreateEndpointConfig", endpoint.create_endpoint_config),
        _request("CreateEndpoint", endpoint.create_endpoint),
        _ROUTES_INTRODUCTION,
        *(_request(title, params) for title, params in route_requests.calls(ROLE)),
    ]
    return "\n".join(parts)


_ROUTES_INTRODUCTION = (
    "# Requests of other routes\n\nOne for each family that can be planned. `ift plan` shows them; of these "
    "routes `ift train` sends jumpstart alone. They passed the\nsame checks, and were not compared with live "
    "AWS.\n"
)


def _base_of(training: JobPlan) -> str:
    channels = {channel["ChannelName"]: channel for channel in training.request["InputDataConfig"]}
    return str(channels["model"]["DataSource"]["S3DataSource"]["S3Uri"])


def _request(title: str, request: Mapping[str, Any]) -> str:
    return f"## {title}\n\n```json\n{json.dumps(request, indent=2)}\n```\n"


_LOCAL_INTRODUCTION = (
    "# The local AWS\n\nGenerated from its own tables.\n\n"
    "**Nothing here was compared with live AWS yet**, so no operation is labelled *seen live*. What an "
    "operation does not offer is refused with an error that names it.\n"
)
_LOCAL_REMARK = (
    "An empty cell says that no difference is known, not that there is none. What is and is not faithful "
    "on the whole: [explanation](../explanation/local-aws.md).\n"
)


def local_aws_page() -> str:
    """Every operation of the local AWS, its settings, and what its runners keep from a program."""
    offers = offered()
    parts = [
        _LOCAL_INTRODUCTION,
        "\n".join(f"- *{label}*: {meaning}" for label, meaning in LABELS.items()) + "\n",
        _LOCAL_REMARK,
    ]
    for service, rows in OPERATIONS_BY_SERVICE.items():
        shown = [row for row in rows if row.operation in offers.get(service, ())]
        if shown:
            parts.append(f"## {service_model(service).metadata['serviceId']}\n\n{_operations(shown)}\n")
    parts += [f"## Settings\n\n{_settings()}\n", f"## Runners\n\n{_runners()}\n"]
    return "\n".join(parts)


def _operations(rows: Sequence[Row]) -> str:
    lines = [f"| {row.operation} | {row.label} | {row.differs} | {row.limits} |" for row in rows]
    return "\n".join(["| operation | label | differs from AWS | limits |", "|---|---|---|---|", *lines])


def _settings() -> str:
    found = LocalSettings.from_environment({}, root="unused")
    lines = [
        f"| `{row.variable}` | {row.what} | {row.default or f'`{getattr(found, row.field)}`'} |"
        for row in SETTINGS
    ]
    return "\n".join(["| environment | what | default |", "|---|---|---|", *lines])


def _runners() -> str:
    lines = []
    for name in (name for name in RUNNERS if name != "auto"):
        for what, network in (("training", False), ("serving", True)):
            found = named(name).isolation(network=network)
            kept = f"{', '.join(found.enforced)} | {', '.join(found.unenforced)}"
            lines.append(f"| {name} | {what} | {kept} |")
    return "\n".join(["| runner | for | enforced | not enforced |", "|---|---|---|---|", *lines])


PAGES = {
    "cli.md": cli_page,
    "hyperparameters.md": hyperparameters_page,
    "local-aws.md": local_aws_page,
    "requests.md": requests_page,
}

if __name__ == "__main__":
    DOCS.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
