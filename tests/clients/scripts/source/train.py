"""What the entry script of `script_mode.py` learns about its surroundings, as its model."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--note")
arguments = parser.parse_args()
print(f"training for {arguments.epochs} epochs on {os.environ['SM_CHANNELS']}", flush=True)  # noqa: T201
learnt = {
    "epochs": arguments.epochs,
    "note": arguments.note,
    "rows": sorted(path.name for path in Path(os.environ["SM_CHANNEL_TRAINING"]).iterdir()),
    "hosts": json.loads(os.environ["SM_HOSTS"]),
    "here": Path.cwd().as_posix(),
    "aws": sorted(name for name in os.environ if name.startswith("AWS_")),
}
(Path(os.environ["SM_MODEL_DIR"]) / "learnt.json").write_text(json.dumps(learnt))
