"""The hosts of a run: what each is, what it is told of the others, and where it finds them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GROUP = "homogeneousCluster"
INTERFACE = "eth0"
LOOPBACK = "lo"


@dataclass(frozen=True)
class Host:
    """One instance of a run, `algo-1` and up, and the instance group that it belongs to."""

    name: str
    instance_type: str
    group: str = GROUP


def count_of(resources: Mapping[str, Any]) -> int:
    """How many hosts a ResourceConfig asks for."""
    groups = resources.get("InstanceGroups") or [resources]
    return sum(group["InstanceCount"] for group in groups)


def hosts_of(resources: Mapping[str, Any]) -> tuple[Host, ...]:
    """The hosts that a ResourceConfig asks for, counted through its instance groups in their order."""
    groups = resources.get("InstanceGroups") or [{**resources, "InstanceGroupName": GROUP}]
    kinds = [
        (group["InstanceType"], group["InstanceGroupName"])
        for group in groups
        for _ in range(group["InstanceCount"])
    ]
    return tuple(Host(f"algo-{number}", *kind) for number, kind in enumerate(kinds, 1))


def addresses(hosts: Sequence[Host]) -> dict[str, str]:
    """Name and loopback address of each host where there are several; they share one private network."""
    if len(hosts) < 2:
        return {}
    return {host.name: f"127.0.1.{number}" for number, host in enumerate(hosts, 1)}


def resource_config(hosts: Sequence[Host], current: Host) -> dict[str, Any]:
    """`resourceconfig.json` of one host.

    The interface is the one that the host really has: of several hosts, the loopback of their own network.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
    """
    return {
        "current_host": current.name,
        "current_instance_type": current.instance_type,
        "current_group_name": current.group,
        "hosts": sorted(host.name for host in hosts),
        "instance_groups": [_group(hosts, name) for name in dict.fromkeys(host.group for host in hosts)],
        "network_interface_name": LOOPBACK if len(hosts) > 1 else INTERFACE,
    }


def _group(hosts: Sequence[Host], name: str) -> dict[str, Any]:
    members = [host for host in hosts if host.group == name]
    return {
        "instance_group_name": name,
        "instance_type": members[0].instance_type,
        "hosts": sorted(host.name for host in members),
    }
