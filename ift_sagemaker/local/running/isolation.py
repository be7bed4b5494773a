"""Which runner a job or an endpoint gets, by the settings and by what this machine can do."""

from __future__ import annotations

from collections.abc import Callable

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running import bubblewrap
from ift_sagemaker.local.running.bubblewrap import BubblewrapRunner
from ift_sagemaker.local.running.runner import ProcessRunner, Runner
from ift_sagemaker.local.state.settings import LocalSettings

_RUNNERS: dict[str, Callable[[], Runner]] = {"process": ProcessRunner, "bwrap": BubblewrapRunner}


def choose(settings: LocalSettings, bwrap_works: Callable[[], bool] = bubblewrap.works) -> Runner:
    """The runner for new work: the one asked for; with "auto" bubblewrap where it works, else a process.

    Raises:
        ServiceError: bubblewrap is asked for or required and cannot be had; nothing is downgraded silently.
    """
    required = "bwrap" in (settings.runner, settings.require_isolation)
    if settings.runner == "process" and settings.require_isolation == "bwrap":
        raise _refused("IFT_LOCAL_REQUIRE demands bubblewrap, but IFT_LOCAL_RUNNER is process")
    if settings.runner == "process":
        return ProcessRunner()
    if bwrap_works():
        return BubblewrapRunner()
    if required:
        raise _refused("bubblewrap is required and does not work on this machine (bwrap, user namespaces)")
    return ProcessRunner()


def named(name: str) -> Runner:
    """The runner that a document recorded."""
    return _RUNNERS[name]()


def _refused(reason: str) -> ServiceError:
    return ServiceError("UnsupportedOperation", f"Isolation cannot be given: {reason}")
