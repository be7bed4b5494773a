"""Builds the images `ift-sagemaker-train` and `ift-sagemaker-serve`: `make images ENGINE=podman`.

Wheels are fetched here, by hash; the build itself has no network. Only the standard library and pip are used.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PACKAGE = REPOSITORY / "ift_sagemaker"
PYTHON = "3.11"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64")
PACKED = ("__init__.py", "errors.py", "py.typed", "wire", "container")
TARGETS = ("train", "serve")
DEFAULT_BASE = "python:3.11-slim-bookworm"


def main() -> None:
    """Raises CalledProcessError where pip or the engine refuses; its own words are on the terminal."""
    asked = _arguments()
    wheelhouse = asked.context / "wheelhouse"
    if asked.step != "build":
        fetch_wheels(wheelhouse, asked.torch.split())
    if asked.step != "wheels":
        lay_out(asked.context)
        for target in asked.target or TARGETS:
            subprocess.run(
                build_command(asked.engine, target, asked.base, asked.context),
                check=True,
                env={**os.environ, "DOCKER_BUILDKIT": "1"},
            )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", nargs="?", choices=("all", "wheels", "build"), default="all")
    parser.add_argument("--engine", default="docker", help="docker, podman or the path of one")
    parser.add_argument("--base", default=DEFAULT_BASE, help="image with Python 3.11; pin it by digest")
    parser.add_argument(
        "--torch", default="torch==2.13.0", help="requirement of torch, and pip's options for it"
    )
    parser.add_argument("--target", action="append", choices=TARGETS, help="by default both")
    parser.add_argument("--context", type=Path, default=REPOSITORY / "build" / "images")
    return parser.parse_args()


def fetch_wheels(wheelhouse: Path, torch: list[str]) -> None:
    """Fills the folder with every wheel of the locks, and torch with the lock that names its hash."""
    wheelhouse.mkdir(parents=True, exist_ok=True)
    wheels_only = ["--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp"]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    download = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--dest", str(wheelhouse)]
    download += [*wheels_only, *platforms]
    subprocess.run([*download, "--require-hashes", "-r", str(HERE / "serve.lock")], check=True)
    if not list(wheelhouse.glob("torch-*.whl")):
        subprocess.run([*download, *torch], check=True)
    (wheelhouse.parent / "torch.lock").write_text(torch_lock(wheelhouse), "ascii")


def torch_lock(wheelhouse: Path) -> str:
    """The one line that pins torch: builds for the processor and for each CUDA differ in version and hash."""
    (wheel,) = wheelhouse.glob("torch-*.whl")
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"torch=={wheel.name.split('-')[1]} --hash=sha256:{digest}\n"


def lay_out(context: Path) -> None:
    """Puts what the Dockerfile names beside the wheelhouse."""
    for name in ("locks", "software"):
        shutil.rmtree(context / name, ignore_errors=True)
    (context / "locks").mkdir()
    for lock in (HERE / "train.lock", HERE / "serve.lock", context / "torch.lock"):
        shutil.copy(lock, context / "locks")
    software = context / "software" / "ift_sagemaker"
    software.mkdir(parents=True)
    for name in PACKED:
        source = PACKAGE / name
        if source.is_dir():
            shutil.copytree(source, software / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, software / name)


def build_command(engine: str, target: str, base: str, context: Path) -> list[str]:
    """The engine's words for one image."""
    version = package_version()
    podman = Path(engine).name == "podman"
    # a HEALTHCHECK has no place in the other format
    own = ["--format", "docker", "--pull=never", "--timestamp", _git("log", "-1", "--format=%ct") or "0"]
    return [
        *(engine, "build", "--network", "none", *(own if podman else [])),
        *("--file", str(HERE / "Dockerfile"), "--target", target),
        *("--tag", f"ift-sagemaker-{target}:{version}"),
        *("--build-arg", f"BASE={base}", "--build-arg", f"VERSION={version}"),
        *("--build-arg", f"REVISION={_git('rev-parse', 'HEAD') or 'unknown'}"),
        *("--build-arg", f"SOURCE={os.environ.get('SOURCE', 'unknown')}"),
        str(context),
    ]


def package_version() -> str:
    """The version of the package, which is the tag of its images."""
    found = re.search(r'^__version__ = "([^"]+)"', (PACKAGE / "__init__.py").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit("ift_sagemaker/__init__.py names no version")
    return found[1]


def _git(*words: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run([git, *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
