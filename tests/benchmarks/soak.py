"""The server under many clients for a long while, then stopped in the middle of its work.

    python tests/benchmarks/soak.py [--seconds 600] [--clients 64] [--seed 0] [--model FOLDER] [--json]

Without --model a tiny random one is served. Prints what happened; exit code 1 where an answer was wrong, an
error had no type, memory grew by a tenth, or the server did not end cleanly.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.e2e.soaking import build, soak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "model"
        if options.model is None:
            build(place)
        else:
            place.symlink_to(options.model.resolve())
        report = soak(Path(folder), options.seconds, options.clients, options.seed)
    is_flat = report.growth_mib < 0.1 * max(report.resident_mib)
    found = {
        "counts": dict(report.counts.most_common()),
        "wrong": report.wrong,
        "resident_mib": [report.resident_mib[0], report.resident_mib[-1]],
        "growth_mib": report.growth_mib,
        "exit_code": report.exit_code,
        "drained_in_seconds": round(report.drained_in_seconds, 2),
    }
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<19} {value}")
    return 0 if not report.wrong and report.exit_code == 0 and is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
