"""The command tree. Commands are named here and imported when they are used, so that help is quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from ift_sagemaker import __version__
from ift_sagemaker.cli.exits import INTERRUPTED, exit_code
from ift_sagemaker.cli.options import print_error
from ift_sagemaker.errors import IFTError

Commands = Mapping[str, tuple[str, str]]

_STARTING = ("train", "evaluate", "deploy", "jobs", "endpoints")
"""Commands that start a job or an endpoint, or wait for one."""


class LazyGroup(click.Group):
    """A group whose commands are addresses (`module:name`) until one of them is called."""

    def __init__(self, *args: Any, commands_at: Commands, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._commands_at:
            return None
        module, _, name = self._commands_at[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._commands_at.items()])


class RootGroup(LazyGroup):
    """Turns this library's errors into one line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except IFTError as error:
            print_error(ctx, error)
            ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            goes_on = "; what was started goes on: see `ift jobs list`, `ift endpoints list`"
            click.echo(f"interrupted{goes_on if ctx.invoked_subcommand in _STARTING else ''}", err=True)
            ctx.exit(INTERRUPTED)


def _group(name: str, text: str, commands: Commands) -> LazyGroup:
    return LazyGroup(name, help=text, commands_at=commands, no_args_is_help=True)


models = _group(
    "models",
    "Foundation models: what there is, how they compare, their weights.",
    {
        "list": ("ift_sagemaker.cli.models:list_models", "Models, their routes, and whether they live."),
        "search": ("ift_sagemaker.cli.models:search", "Models by words."),
        "show": ("ift_sagemaker.cli.models:show", "One model: roads, recipes, hyperparameters."),
        "compare": ("ift_sagemaker.cli.models:compare", "Model families side by side."),
        "pull": ("ift_sagemaker.cli.models:pull", "Fetch a model's weights to this machine."),
    },
)
data = _group(
    "data",
    "Instruction sets.",
    {
        "check": ("ift_sagemaker.cli.data_check:check", "Every finding in rows, and their figures."),
        "convert": ("ift_sagemaker.cli.data:convert", "Rows as the files that a tuning service takes."),
        "render": ("ift_sagemaker.cli.data_render:render", "Rows as the model will see them."),
        "stats": ("ift_sagemaker.cli.data_stats:stats", "Rows, characters and tokens, and how they pack."),
        "targets": ("ift_sagemaker.cli.data:targets", "What `convert` can write."),
        "upload": ("ift_sagemaker.cli.data_upload:upload", "Send a file or folder to S3, once."),
        "split": ("ift_sagemaker.cli.data_shaping:split", "Train, validation and test parts."),
        "dedupe": ("ift_sagemaker.cli.data_shaping:dedupe", "Rows without repetitions."),
        "filter": ("ift_sagemaker.cli.data_shaping:filter_command", "Rows that meet conditions."),
        "sample": ("ift_sagemaker.cli.data_shaping:sample", "Rows drawn at random."),
        "mix": ("ift_sagemaker.cli.data_shaping:mix", "Rows of several sources, in proportion."),
        "shuffle": ("ift_sagemaker.cli.data_shaping:shuffle", "Rows in a random order."),
    },
)
jobs = _group(
    "jobs",
    "Training jobs.",
    {
        "list": ("ift_sagemaker.cli.jobs:list_jobs", "Jobs this library made, newest first."),
        "show": ("ift_sagemaker.cli.jobs:show", "One job as SageMaker describes it."),
        "logs": ("ift_sagemaker.cli.jobs:logs", "A job's log."),
        "metrics": ("ift_sagemaker.cli.jobs:metrics", "A job's metrics as CSV."),
        "wait": ("ift_sagemaker.cli.jobs:wait", "Wait for a job to end."),
        "stop": ("ift_sagemaker.cli.jobs:stop", "Ask a job to stop and save."),
        "download": ("ift_sagemaker.cli.jobs:download", "Unpack a job's model into a folder."),
    },
)
endpoints = _group(
    "endpoints",
    "Endpoints. They are billed until they are deleted.",
    {
        "list": ("ift_sagemaker.cli.endpoints:list_endpoints", "Endpoints this library made."),
        "show": ("ift_sagemaker.cli.endpoints:show", "One endpoint as SageMaker describes it."),
        "logs": ("ift_sagemaker.cli.endpoints:logs", "An endpoint's log."),
        "delete": ("ift_sagemaker.cli.endpoints:delete", "Delete endpoint, configuration and model."),
    },
)
local = _group(
    "local",
    "The AWS of this machine.",
    {
        "status": ("ift_sagemaker.cli.local:status", "Where it keeps things and what runs."),
        "serve": ("ift_sagemaker.cli.local:serve", "Answer other programs on 127.0.0.1."),
        "reset": ("ift_sagemaker.cli.local:reset", "Stop everything and delete its state."),
    },
)


@click.group(
    cls=RootGroup,
    commands_at={
        "models": ("ift_sagemaker.cli.tree:models", "Foundation models: list, search, show, compare …"),
        "data": ("ift_sagemaker.cli.tree:data", "Instruction sets: check, convert, split, upload …"),
        "plan": ("ift_sagemaker.cli.train:plan", "What a fine-tuning run would send and cost."),
        "train": ("ift_sagemaker.cli.train:train", "Start a fine-tuning run; prints its job's name."),
        "jobs": ("ift_sagemaker.cli.tree:jobs", "Training jobs: list, show, logs, wait, stop …"),
        "evaluate": ("ift_sagemaker.cli.evaluate:evaluate", "Base against tuned over held-out rows."),
        "deploy": ("ift_sagemaker.cli.endpoints:deploy", "Serve a job's model; prints the endpoint's name."),
        "invoke": ("ift_sagemaker.cli.endpoints:invoke", "Ask an endpoint."),
        "why": ("ift_sagemaker.cli.why:why", "Why a job or endpoint failed, and what to type next."),
        "doctor": ("ift_sagemaker.cli.doctor:doctor", "What this account or machine lacks for a run."),
        "endpoints": ("ift_sagemaker.cli.tree:endpoints", "Endpoints: list, show, logs, delete."),
        "local": ("ift_sagemaker.cli.tree:local", "The AWS of this machine: status, serve, reset."),
    },
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, package_name="ift-sagemaker")
def ift() -> None:
    """Instruction fine-tuning of foundation models on AWS SageMaker, and offline.

    Results go to stdout, progress to stderr. Exit codes: 0 done, 1 failed or stopped, 2 usage, 3 bad data,
    model or configuration, 4 AWS refused, 5 timed out, 6 the evaluation gate said no, 130 interrupted.
    """
