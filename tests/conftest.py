"""What every test shares: the tiers and what each needs, told at the end whether it ran or not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.containers import engines

CLIENTS = Path(__file__).parents[1] / ".venv-clients" / ".installed"
TIERS = ("unit", "property", "contract", "containers", "e2e", "docs")
MARKED = ("bwrap", "clients", "engine", "data", "slow", "live")


@cache
def _bubblewrap_works() -> bool:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return False
    probe = [bwrap, "--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", "true"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


def _missing(marker: str, config: pytest.Config) -> str | None:
    """Why tests of a marker cannot run here; None where they can."""
    if marker == "bwrap" and not _bubblewrap_works():
        return "bubblewrap is not installed, or the kernel grants no user namespaces"
    if marker == "clients" and not CLIENTS.exists() and not os.environ.get("IFT_REQUIRE_CLIENTS"):
        return "the official SDK and the AWS CLI are not installed: `make clients`"
    if marker == "engine" and not engines.required():
        reasons = [engines.missing(name) for name in engines.TESTED]
        return None if None in reasons else "; ".join(map(str, reasons))
    if marker == "data" and not os.environ.get("IFT_TEST_DATA"):
        return "IFT_TEST_DATA names no folder with the real data sets"
    if marker == "live" and config.getoption("--aws") is None:
        return "it costs money on AWS and is asked for by --aws USD"
    return None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--aws", type=float, metavar="USD", help="run tests/live in the account at hand, for USD at most"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for marker in MARKED:
            if item.get_closest_marker(marker):
                # folder names are keywords as well, so a marker is told by a name that no folder has
                item.keywords[f"marked:{marker}"] = True
                if reason := _missing(marker, config):
                    item.add_marker(pytest.mark.skip(reason=reason))


def _tiers_of(node_id: str, keywords: dict[str, int]) -> list[str]:
    folder = Path(node_id.partition("::")[0]).parts
    tiers = [folder[1]] if len(folder) > 1 and folder[1] in TIERS else []
    return tiers + [marker for marker in MARKED if f"marked:{marker}" in keywords]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a tier: how many of its tests ran, and which tiers did not."""
    ran: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for outcome, counter in (("passed", ran), ("failed", ran), ("skipped", skipped)):
        for report in terminalreporter.stats.get(outcome, []):
            counter.update(_tiers_of(report.nodeid, report.keywords))
    terminalreporter.section("tiers")
    for tier in (*TIERS, *MARKED):
        if ran[tier] or skipped[tier]:
            left = (
                f", {skipped[tier]} NOT RUN ({_missing(tier, terminalreporter.config) or 'see above'})"
                if skipped[tier]
                else ""
            )
            terminalreporter.write_line(f"{tier:<9} {ran[tier]} ran{left}")
        else:
            terminalreporter.write_line(f"{tier:<9} NOT RUN (no test selected)")


@pytest.fixture
def data_folder() -> Path:
    """The folder of the real data sets; tests that ask for it carry the marker `data`."""
    return Path(os.environ["IFT_TEST_DATA"])
