"""What importing costs: nothing heavy is loaded before it is used."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = (
    "boto3",
    "botocore",
    "pandas",
    "torch",
    "transformers",
    "moto",
    "sagemaker",
    "pydantic",
    "rich",
    "numpy",
)
_PROBE = "import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"


def _loaded_by(statement: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", _PROBE.format(statement=statement)], check=True, capture_output=True, text=True
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


def _heavy(modules: set[str]) -> list[str]:
    return sorted({name.partition(".")[0] for name in modules} & set(HEAVY))


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert _heavy(_loaded_by("import ift_sagemaker")) == []


def test_importing_the_package_adds_few_modules_to_a_bare_interpreter() -> None:
    added = _loaded_by("import ift_sagemaker") - _loaded_by("pass")
    assert len(added) < 20, sorted(added)


def test_help_loads_nothing_heavy() -> None:
    statement = (
        "from click.testing import CliRunner; from ift_sagemaker.cli.tree import ift; "
        "assert CliRunner().invoke(ift, ['--help']).exit_code == 0; "
        "assert CliRunner().invoke(ift, ['jobs', '--help']).exit_code == 0"
    )
    assert _heavy(_loaded_by(statement)) == []


def test_a_session_loads_no_pandas_and_no_torch() -> None:
    loaded = _heavy(_loaded_by("import ift_sagemaker; ift_sagemaker.Session"))
    assert not {"pandas", "torch", "transformers", "numpy"} & set(loaded)
