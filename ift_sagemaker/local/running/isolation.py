"""Which runner a job or an endpoint gets, by the settings and by what this machine can do."""

from __future__ import annotations

from collections.abc import Callable

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running import bubblewrap
from ift_sagemaker.local.running.bubblewrap import BubblewrapRunner
from ift_sagemaker.local.running.containers import ContainerRunner
from ift_sagemaker.local.running.engines import ENGINES, Engine
from ift_sagemaker.local.running.limits import Limits
from ift_sagemaker.local.running.runner import ProcessRunner, Runner
from ift_sagemaker.local.state.settings import LocalSettings

GUARANTEES = {"process": 0, "bwrap": 1, **dict.fromkeys(ENGINES, 2)}
"""What each runner guarantees holds for those with a higher number as well; the engines are equals."""


def choose(
    settings: LocalSettings,
    bwrap_works: Callable[[], bool] = bubblewrap.works,
    engine_works: Callable[[str], bool] = lambda name: Engine(name).works(),
) -> Runner:
    """The runner for new work: the one asked for; with "auto" bubblewrap where it works, else a process.

    Raises:
        ServiceError: what is asked for or required cannot be had; nothing is downgraded silently.
    """
    name = settings.runner
    if name == "auto":
        name = "bwrap" if bwrap_works() else "process"
    elif name == "bwrap" and not bwrap_works():
        raise _refused("bubblewrap is required and does not work on this machine (bwrap, user namespaces)")
    elif name in ENGINES and not engine_works(name):
        raise _refused(
            f"IFT_LOCAL_RUNNER is {name}, and {name} is not on the PATH or does not answer; see `{name} ps`"
        )
    required = settings.require_isolation or "process"
    if GUARANTEES[name] < GUARANTEES[required]:
        how = f"IFT_LOCAL_RUNNER is {settings.runner}, which here means {name}"
        if settings.runner == "auto" and required == "bwrap":
            how = "bubblewrap does not work on this machine (bwrap, user namespaces)"
        raise _refused(f"IFT_LOCAL_REQUIRE demands {required}, but {how}")
    return named(name, settings)


def named(name: str, settings: LocalSettings | None = None) -> Runner:
    """The runner that a document recorded, with the limits of the settings."""
    limits = Limits(settings.memory_in_bytes, settings.processors) if settings else Limits()
    if name in ENGINES:
        return ContainerRunner(Engine(name), limits)
    return ProcessRunner(limits) if name == "process" else BubblewrapRunner(limits=limits)


def engine_of(name: str) -> Engine | None:
    """The engine behind a runner, None for a runner without one."""
    return Engine(name) if name in ENGINES else None


def _refused(reason: str) -> ServiceError:
    return ServiceError("UnsupportedOperation", f"Isolation cannot be given: {reason}")
