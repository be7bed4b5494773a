"""Which instance families bring local NVMe disks: there the volume's size is fixed and its key is AWS's own.

Source: Amazon EC2's instance-type facts (`InstanceStorageSupported`), read 2026-11-23; `dl1`, `p2`, `p3` and
`p6e-gb200` are general knowledge. SageMaker names p4d, g4dn and g5 as examples of the first kind, c5 and p2
of the second (CreateTrainingJob, ResourceConfig.VolumeSizeInGB).
"""

from __future__ import annotations

# fmt: off
LOCAL_NVME_FAMILIES = frozenset({
    "c5d", "c6gd", "dl1", "g4dn", "g5", "g6", "g6e", "g7", "g7e", "gr6", "m5d", "m6gd", "p3dn", "p4d",
    "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300", "p6e-gb200", "r5d", "r6gd", "r7gd", "trn1",
    "trn1n", "trn2",
})
EBS_ONLY_FAMILIES = frozenset({
    "c4", "c5", "c5n", "c6g", "c6gn", "c6i", "c6in", "c7g", "c7i", "c7i-flex", "c8g", "c8i", "c8i-flex",
    "inf1", "inf2", "m4", "m5", "m6g", "m6i", "m7i", "m7i-flex", "m8g", "m8i", "m8i-flex", "p2", "p3",
    "r5", "r6g", "r6i", "r7i", "r8g", "r8i", "r8i-flex", "t2", "t3",
})
# fmt: on
ACCELERATED_PREFIXES = ("p", "g", "trn", "inf", "dl")


def family(instance_type: str) -> str:
    """`g5` of `ml.g5.2xlarge`; empty for anything else."""
    parts = instance_type.split(".")
    return parts[1] if len(parts) == 3 and parts[0] == "ml" else ""


def has_local_nvme(instance_type: str) -> bool | None:
    """Whether the type has local NVMe disks; None for a family that is not in the tables."""
    name = family(instance_type)
    if name in LOCAL_NVME_FAMILIES:
        return True
    return False if name in EBS_ONLY_FAMILIES else None


def is_accelerated(instance_type: str) -> bool:
    return family(instance_type).startswith(ACCELERATED_PREFIXES)
