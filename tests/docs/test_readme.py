"""README's blocks and the first example do what they say, on one local AWS, so that one job is trained."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ift_sagemaker import local

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One local AWS for both blocks, `ift` on the path."""
    root = tmp_path_factory.mktemp("readme") / "aws"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    yield {**os.environ, "IFT_LOCAL_ROOT": str(root), "PATH": path}
    local.reset(root)


def _blocks(kind: str, heading: str) -> list[str]:
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)


def test_the_notebook_cell_the_shell_session_and_the_example_run_as_written(
    environment: dict[str, str],
) -> None:
    """In one test, since the others meet the job that the cell has trained: the same run attaches."""
    (cell,) = _blocks("python", "In a notebook")
    notebook = subprocess.run(
        [sys.executable, "-c", cell], check=False, capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert notebook.returncode == 0, notebook.stderr
    assert "→" in notebook.stdout, "the evaluation is printed"
    assert notebook.stdout.rstrip().endswith("Negative"), notebook.stdout

    (session,) = _blocks("console", "In a shell")
    script = "set -e\n" + re.sub(r"^\$ ", "", session, flags=re.MULTILINE)
    bash = shutil.which("bash")
    assert bash is not None
    shell = subprocess.run(
        [bash, "-c", script], check=False, capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert shell.returncode == 0, shell.stderr
    assert "attached to" in shell.stderr, "the session trains nothing that the cell has trained"
    assert "Track the parcel." in shell.stdout
    assert "deleted endpoint" in shell.stdout
    assert local.status(environment["IFT_LOCAL_ROOT"])["processes"] == []

    example = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "101_first_run.py")],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert example.returncode == 0, example.stderr
    assert "{'processes': [], 'ports': [], 'endpoints': {}" in example.stdout
