"""The command line: each command parses, calls one method, prints.

stdout carries the result alone; progress and errors go to stderr.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of `ift`; ends the process with the exit codes of `ift_sagemaker.cli.exits`."""
    from ift_sagemaker.cli.tree import ift

    ift()
