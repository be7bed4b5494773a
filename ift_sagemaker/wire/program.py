"""The programs of jobs, each as one reproducible zip that any Python can run."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

_MAIN = "import sys\nfrom ift_sagemaker.container import main\nsys.exit(main())\n"
_PACKED = ("__init__.py", "errors.py", "wire", "container")
_DATA_MAIN = """import sys
try:
    from ift_sagemaker.data.sharding.shards import main
except ModuleNotFoundError as error:
    sys.exit(f"ift: this image has no Python package {error.name}: name one that has it (--image)")
sys.exit(main())
"""
_DATA_PACKED = ("__init__.py", "errors.py", "wire", "data")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


@dataclass(frozen=True)
class Program:
    """`content` is `ift_program.pyz`: nothing compressed, so equal sources give equal bytes anywhere."""

    content: bytes
    sha256: str


def _sources(folder: Traversable, prefix: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found |= _sources(entry, f"{prefix}/{entry.name}")
        elif entry.name.endswith(".py"):
            found[f"{prefix}/{entry.name}"] = entry.read_bytes()
    return found


@cache
def program() -> Program:
    """The program of the installed package."""
    return build()


@cache
def data_program() -> Program:
    """The program that works on instruction data, of the installed package."""
    return build(_DATA_MAIN, _DATA_PACKED)


def build(main: str = _MAIN, packed: Sequence[str] = _PACKED) -> Program:
    """A program packed anew: the training program, unless another is named."""
    package = files("ift_sagemaker")
    sources = {"__main__.py": main.encode()}
    for name in packed:
        entry = package / name
        if entry.is_dir():
            sources |= _sources(entry, f"ift_sagemaker/{name}")
        else:
            sources[f"ift_sagemaker/{name}"] = entry.read_bytes()
    content = _zip(sources)
    return Program(content, hashlib.sha256(content).hexdigest())


def _zip(sources: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            info.create_system = _UNIX
            archive.writestr(info, sources[name])
    return buffer.getvalue()
