"""Options and printing that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ift_sagemaker.errors import ConfigError, IFTError

if TYPE_CHECKING:
    from ift_sagemaker.session import Session

F = TypeVar("F", bound=Callable[..., Any])

_JSON = "ift_sagemaker.json"


def _noted(context: click.Context, _: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - click's
    context.meta[_JSON] = value  # errors are told by the root of the tree
    return value


as_json = click.option(
    "--json", "as_json", is_flag=True, callback=_noted, help="Print JSON for machines, errors as well."
)
wait_timeout = click.option(
    "--timeout", type=click.FloatRange(min=0), help="Seconds to wait at most; exit 5 when they are over."
)


def target_options(command: F) -> F:
    """Adds --target, --role, --bucket and --region, which `session_of` reads."""
    for option in (
        click.option("--region", help="AWS region; default: AWS_REGION, else the configuration file."),
        click.option("--bucket", help="Bucket for data and models; default: sagemaker-REGION-ACCOUNT."),
        click.option("--role", help="Execution role; default: IFT_ROLE or the configuration file."),
        click.option(
            "--target",
            type=click.Choice(["aws", "local"]),
            help="AWS, or the AWS of this machine; default: IFT_TARGET, else aws.",
        ),
    ):
        command = option(command)
    return command


def session_of(options: Mapping[str, Any]) -> Session:
    from ift_sagemaker.connection import connect

    return connect(**{name: options[name] for name in ("target", "role", "bucket", "region")})


def parse_settings(pairs: tuple[str, ...], option: str = "--set") -> dict[str, str]:
    """`NAME=VALUE` pairs as a dict; raises ConfigError for a text without `=` or a name given twice."""
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(
                f"{option} {pair!r}: write NAME=VALUE", field=option, value=pair, allowed="NAME=VALUE"
            )
        if name in values:
            raise ConfigError(f"{option} {name} is given twice", field=name, value=value)
        values[name] = value
    return values


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def print_error(context: click.Context, error: IFTError) -> None:
    """One line on stderr, or with --json an object: the error's kind, its message and its fields."""
    if not context.meta.get(_JSON):
        click.echo(f"error: {error}", err=True)
        return
    told = {"error": type(error).__name__, "message": str(error), **error.fields}
    click.echo(json.dumps(told, indent=2, ensure_ascii=False, default=_plain), err=True)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
