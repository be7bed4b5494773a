"""What the local AWS is told from outside: where it keeps things, as whom it answers, how it runs jobs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ift_sagemaker.errors import ConfigError

if TYPE_CHECKING:
    from ift_sagemaker.local.s3.objects import ObjectStore
    from ift_sagemaker.local.state.store import Store

ACCOUNT = "123456789012"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/ift-local"
ACCESS_KEY = "LOCALAWSACCESSKEY"
SECRET_KEY = "of-no-value-outside-the-local-aws"  # noqa: S105 - signs requests that never leave this machine
WEATHERS = ("calm", "aws")
RUNNERS = ("auto", "process", "bwrap", "docker", "podman", "finch", "nerdctl")
REQUIREMENTS = ("", *RUNNERS[1:])
_SIZE = re.compile(r"(\d+)([kmgt]?)b?", re.ASCII)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True)
class LocalSettings:
    """One local AWS. `root` holds all of its state; two processes with one root see one AWS.

    `payload_bytes` bounds body and answer of an invocation, `async_bytes` those of an asynchronous one;
    `invocation_in_seconds` is what a container has for an answer, `stream_in_seconds` for a whole stream.
    """

    root: Path
    region: str = "us-east-1"
    account: str = ACCOUNT
    runner: str = "auto"
    require_isolation: str = ""
    job_slots: int = 1
    endpoint_slots: int = 4
    stop_grace_in_seconds: float = 120.0
    role_arn: str = ROLE_ARN
    moto: bool = False
    payload_bytes: int = 6 << 20
    invocation_in_seconds: float = 60.0
    stream_in_seconds: float = 480.0
    async_bytes: int = 1 << 30
    weather: str = "calm"
    memory_in_bytes: int | None = None
    processors: float | None = None

    def __post_init__(self) -> None:
        # one name for one root: supervisors are found by the root in their command
        object.__setattr__(self, "root", Path(os.path.realpath(self.root)))

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        root: Path | str | None = None,
        region: str | None = None,
    ) -> LocalSettings:
        """Settings from the `IFT_LOCAL_*` variables; an argument goes before its variable.

        Raises:
            ConfigError: a variable holds something that is not allowed.
        """
        found = os.environ if environment is None else environment
        return cls(
            root=Path(root).absolute() if root is not None else _root(found),
            region=region or found.get("IFT_LOCAL_REGION") or "us-east-1",
            runner=_choice(found, "IFT_LOCAL_RUNNER", RUNNERS, "auto"),
            require_isolation=_choice(found, "IFT_LOCAL_REQUIRE", REQUIREMENTS, ""),
            job_slots=_count(found, "IFT_LOCAL_JOB_SLOTS", max(1, (os.cpu_count() or 1) // 2)),
            endpoint_slots=_count(found, "IFT_LOCAL_ENDPOINT_SLOTS", 4),
            stop_grace_in_seconds=_seconds(found, "IFT_LOCAL_STOP_GRACE", 120.0),
            moto=_choice(found, "IFT_LOCAL_MOTO", ("0", "1"), "0") == "1",
            payload_bytes=_count(found, "IFT_LOCAL_PAYLOAD_BYTES", 6 << 20),
            invocation_in_seconds=_seconds(found, "IFT_LOCAL_INVOCATION_SECONDS", 60.0),
            stream_in_seconds=_seconds(found, "IFT_LOCAL_STREAM_SECONDS", 480.0),
            async_bytes=_count(found, "IFT_LOCAL_ASYNC_BYTES", 1 << 30),
            weather=_choice(found, "IFT_LOCAL_WEATHER", WEATHERS, "calm"),
            memory_in_bytes=_size(found, "IFT_LOCAL_MEMORY"),
            processors=_cores(found, "IFT_LOCAL_CPUS"),
        )

    def recorded(self) -> dict[str, Any]:
        """What a supervisor needs of these, as JSON; the root is where it finds them."""
        return {name: value for name, value in asdict(self).items() if name != "root"}

    def arn(self, service: str, resource: str) -> str:
        """The ARN of `resource` (for example `training-job/NAME`) in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True)
class Context:
    """Everything a service handler works with. `clock` gives seconds since the epoch."""

    settings: LocalSettings
    store: Store
    objects: ObjectStore
    clock: Callable[[], float]


def _root(environment: Mapping[str, str]) -> Path:
    named = environment.get("IFT_LOCAL_ROOT")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("ift-sagemaker") / "local-aws"


def _choice(environment: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = environment.get(name, default)
    if value not in allowed:
        wanted = ", ".join(repr(choice) for choice in allowed)
        raise ConfigError(f"{name} is {value!r}; set it to one of {wanted}", field=name, value=value)
    return value


def _count(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, "")
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise ConfigError(f"{name} is {value!r}; set it to a whole number from 1 up", field=name, value=value)
    return int(value)


def _cores(environment: Mapping[str, str], name: str) -> float | None:
    value = environment.get(name, "")
    if not value:
        return None
    if not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII) or not 0.01 <= float(value) <= 1024:
        raise ConfigError(
            f"{name} is {value!r}; set it to a number of cores such as 2 or 0.5", field=name, value=value
        )
    return float(value)


def _size(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name, "")
    if not value:
        return None
    found = _SIZE.fullmatch(value.lower())
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if size < _UNITS["m"]:
        raise ConfigError(
            f"{name} is {value!r}; set it to a size such as 8g or 512m", field=name, value=value
        )
    return size


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    value = environment.get(name, "")
    if not value:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ConfigError(f"{name} is {value!r}; set it to seconds from 0 up", field=name, value=value)
    return seconds
