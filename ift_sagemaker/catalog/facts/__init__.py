"""Versioned facts as data files; read through `ift_sagemaker.catalog.facts.load`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def load(name: str) -> Any:
    """The content of one JSON file of this folder, read once; not to be changed."""
    return json.loads(files(__name__).joinpath(name).read_text("utf-8"))
