"""A local AWS: S3, SageMaker, CloudWatch Logs and STS on this machine's disk, spoken to with plain boto3."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ift_sagemaker.local.door.server import Served

__all__ = [
    "bearer_token",
    "boto3_session",
    "interrupt",
    "local_root",
    "reset",
    "serve",
    "status",
    "supervisor_pid",
]


def boto3_session(root: Path | str | None = None, region: str | None = None) -> Any:
    """An ordinary boto3 session; every client it makes is answered inside this process.

    It is a `boto3.Session`. `root` holds all state (default: `IFT_LOCAL_ROOT`, else the user's data folder);
    `region` defaults to `IFT_LOCAL_REGION`, else us-east-1. No socket is opened; neither `~/.aws` nor any
    `AWS_*` variable is read.
    """
    from ift_sagemaker.local.door import transport

    return transport.boto3_session(root, region)


def serve(
    root: Path | str | None = None, port: int = 0, region: str | None = None
) -> AbstractContextManager[Served]:
    """The local AWS over HTTP on 127.0.0.1 while inside, for clients that are not this process's boto3.

    Gives its `url` and the `environment` that points clients at it; `port` 0 is any free one. Jobs and
    endpoints go on when it ends. Raises ConfigError where the port is taken.
    """
    from ift_sagemaker.local.door import server
    from ift_sagemaker.local.state.settings import LocalSettings

    return server.serve(LocalSettings.from_environment(root=root, region=region), port)


def bearer_token(region: str | None = None, seconds: int = 12 * 3600) -> str:
    """A bearer token for the OpenAI-compatible path of a local endpoint, for `api_key` of such a client.

    It is made as the official SDK's `generate_token` makes one, from the local AWS's own credentials. Raises
    ValueError where `seconds` is not from 1 to 12 hours.
    """
    import time

    from ift_sagemaker.local.hosting.bearer import mint
    from ift_sagemaker.local.state.settings import LocalSettings

    return mint(LocalSettings.from_environment(region=region).region, time.time(), seconds)


def local_root() -> Path:
    """The folder of the local AWS that `boto3_session()` without arguments works on."""
    from ift_sagemaker.local.state.settings import LocalSettings

    return LocalSettings.from_environment().root


def status(root: Path | str | None = None) -> dict[str, Any]:
    """What the local AWS holds and what runs of it: jobs, endpoints, models, processes, ports, bytes."""
    from ift_sagemaker.local import administration
    from ift_sagemaker.local.state.settings import LocalSettings

    return administration.status(LocalSettings.from_environment(root=root))


def supervisor_pid(kind: str, name: str, root: Path | str | None = None) -> int | None:
    """Process number of the supervisor of a "job", "processing-job" or "endpoint"; None where none runs."""
    from ift_sagemaker.local import administration
    from ift_sagemaker.local.state.settings import LocalSettings

    return administration.supervisor_pid(LocalSettings.from_environment(root=root), kind, name)


def interrupt(job_name: str, root: Path | str | None = None) -> None:
    """Takes the spot instances from a training job that runs on them, as AWS may at any time.

    Its programs get SIGTERM and the grace of a stop, their checkpoints go to S3, and the job starts anew.
    Raises ConfigError for a job that has no spot instances to lose.
    """
    from ift_sagemaker.local import administration
    from ift_sagemaker.local.state.settings import LocalSettings

    administration.interrupt(LocalSettings.from_environment(root=root), job_name)


def reset(root: Path | str | None = None) -> None:
    """Ends every job and endpoint at once and removes the root with all it holds.

    Raises ConfigError for a folder that holds other things than a local AWS.
    """
    from ift_sagemaker.local import administration
    from ift_sagemaker.local.state.settings import LocalSettings

    administration.reset(LocalSettings.from_environment(root=root))
