"""The programs inside the training image: `train`, `evaluate`, `serve`, `convert`.

They run from a zip file, know SageMaker's folders alone (`wire.paths`) and never open a connection.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

USAGE = "usage: ift_program train | evaluate | serve | convert SOURCE.gguf TARGET_FOLDER"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of one program; heavy libraries are imported by the one that is asked for."""
    _stay_offline()
    match list(sys.argv[1:] if argv is None else argv):
        case ["train"]:
            from ift_sagemaker.container.lifecycle import run_job

            return run_job("ift_sagemaker.container.train")
        case ["evaluate"]:
            from ift_sagemaker.container.lifecycle import run_job

            return run_job("ift_sagemaker.container.evaluate")
        case ["serve"]:
            from ift_sagemaker.container.lifecycle import run_server

            return run_server("ift_sagemaker.container.serve")
        case ["first", *words]:
            from ift_sagemaker.container.first import run

            return run(words)
        case ["ping"]:
            from ift_sagemaker.container.first import ping

            return ping()
        case ["convert", source, target]:
            from ift_sagemaker.container.convert import convert_command

            return convert_command(source, target)
        case _:
            print(USAGE, file=sys.stderr)  # noqa: T201 - the program's own face
            return 2


def _stay_offline() -> None:
    """Jobs run with network isolation: a look at the hub would only cost time-outs."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # More than one card would make Trainer split batches over them, which the token loss does not do.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
