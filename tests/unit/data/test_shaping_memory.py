"""Ten times the rows take no more memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_MEASURE = """
import sys
from ift_sagemaker import data
source, place = sys.argv[1:3]
eval(sys.argv[3])
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak) / 1024)
"""
_BOUND = "memory_bytes=1 << 20"
CALLS = [
    f"data.split_rows(source, place, near=False, stratify='output', {_BOUND})",
    f"data.dedupe_rows(source, place, {_BOUND})",
    f"data.filter_rows(source, place, where=['output=1'], max_chars=500, {_BOUND})",
    f"data.sample_rows(source, place, share=0.5, {_BOUND})",
    f"data.sample_rows(source, place, count=5000, {_BOUND})",
    f"data.shuffle_rows(source, place, {_BOUND})",
    f"data.mix_rows({{source: 1, source + '.gz': 2}}, place, until='all', {_BOUND})",
]
NEAR = f"data.split_rows(source, place, {_BOUND})"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Rows of about 100 bytes, by their number, all different and none alike."""
    import gzip

    folder = tmp_path_factory.mktemp("sources")
    paths = {}
    for count in (20_000, 60_000, 200_000):
        lines = (
            f'{{"instruction":"{n % 991} {n * 7 % 997} {n * 31 % 983} {n * 17 % 977}","output":"{n % 3}",'
            f'"note":"{"n" * 30}"}}\n'
            for n in range(count)
        )
        paths[count] = folder / f"{count}.jsonl"
        paths[count].write_text("".join(lines))
        with gzip.open(f"{paths[count]}.gz", "wb", compresslevel=1) as file:
            file.write(paths[count].read_bytes())
    return paths


def _peak(call: str, source: Path, place: Path) -> float:
    """MiB, of the process itself: getrusage would also count what its parent had when it was started."""
    words = [sys.executable, "-c", _MEASURE, str(source), str(place), call]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.partition("_rows")[0])
def test_ten_times_the_rows_take_at_most_a_tenth_more_memory(
    sources: dict[int, Path], tmp_path: Path, call: str
) -> None:
    peaks = [_peak(call, sources[count], tmp_path / f"{count}.jsonl") for count in (20_000, 200_000)]
    assert peaks[1] <= 1.1 * peaks[0], peaks


def test_three_times_the_rows_take_at_most_a_tenth_more_memory_to_find_near_ones(
    sources: dict[int, Path], tmp_path: Path
) -> None:
    peaks = [_peak(NEAR, sources[count], tmp_path / f"{count}.jsonl") for count in (20_000, 60_000)]
    assert peaks[1] <= 1.1 * peaks[0], peaks
