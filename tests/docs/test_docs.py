"""Docs cannot lie: generated pages are current, README's notebook block and file names are real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ift_sagemaker as ift
from tests.docs.pages import DOCS, PAGES

ROOT = Path(__file__).parents[2]
PAGES_WITH_LINKS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    """`python -m tests.docs.pages` writes it anew."""
    assert (DOCS / name).read_text("utf-8") == PAGES[name]()


@pytest.mark.parametrize("page", PAGES_WITH_LINKS, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8"))
    gone = [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()]
    assert gone == []


def test_the_public_names_are_these() -> None:
    """A name added or lost is a decision, so it is written down here."""
    assert ift.__all__ == [
        "Compute",
        "Customization",
        "Endpoint",
        "Evaluation",
        "FineTuneSpec",
        "InstructionDataset",
        "PromptTemplate",
        "Session",
        "TrainingJob",
        "compare",
        "connect",
        "errors",
        "models",
    ]
    for name in ift.__all__:
        assert getattr(ift, name) is not None


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = ift.nothing_here


def test_every_file_is_short_enough_to_read() -> None:
    long = [
        str(path.relative_to(ROOT))
        for folder in ("ift_sagemaker", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if len(path.read_text("utf-8").splitlines()) > 450
    ]
    assert long == []
