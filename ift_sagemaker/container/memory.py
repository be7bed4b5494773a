"""How much memory there is to work with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

_MEMINFO = Path("/proc/meminfo")
_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
_FALLBACK = 2**30


def available_bytes(device: Any) -> int:
    """Bytes that can be taken on a device: what its driver says, or the machine and the container around."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(_of_machine(_MEMINFO), _of_container(_LIMIT, _USED))


def _of_machine(meminfo: Path) -> int:
    for line in meminfo.read_text().splitlines() if meminfo.exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return _FALLBACK


def _of_container(limit: Path, used: Path) -> int:
    """What the control group leaves; more than any machine has where it sets no limit."""
    try:
        return max(0, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):
        return 2**62
