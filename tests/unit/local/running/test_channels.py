"""What channels bring to which host, and what hosts are told of each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.local.running.channels import Channel, items_of, read_manifest
from ift_sagemaker.local.running.hosts import Host, addresses, count_of, hosts_of, resource_config
from ift_sagemaker.local.running.staging import DownloadError, Downloads
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.state.store import Store

GROUPS = {
    "InstanceGroups": [
        {"InstanceGroupName": "first", "InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "second", "InstanceType": "ml.c5.xlarge", "InstanceCount": 2},
    ]
}


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    found = ObjectStore(Store(tmp_path / "aws"))
    found.create_bucket("b")
    return found


def hosts(count: int) -> tuple[Host, ...]:
    return hosts_of({"InstanceType": "ml.m5.xlarge", "InstanceCount": count})


def channel(uri: str = "s3://b/data/", mode: str = "File", **source: Any) -> Channel:
    whole = {"S3DataType": "S3Prefix", "S3Uri": uri, **source}
    return Channel.of({"ChannelName": "rows", "DataSource": {"S3DataSource": whole}}, mode)


def names(
    objects: ObjectStore, asked: Channel, of: tuple[Host, ...], host: Host, epoch: int = 0
) -> list[str]:
    return [item.name for item in asked.part(items_of(objects, asked.uri, asked.data_type), of, host, epoch)]


def test_hosts_are_told_of_each_other_as_aws_tells_them() -> None:
    found = hosts_of(GROUPS)
    assert count_of(GROUPS) == len(found)
    assert resource_config(found, found[1]) == {
        "current_host": "algo-2",
        "current_instance_type": "ml.c5.xlarge",
        "current_group_name": "second",
        "hosts": ["algo-1", "algo-2", "algo-3"],
        "instance_groups": [
            {"instance_group_name": "first", "instance_type": "ml.m5.xlarge", "hosts": ["algo-1"]},
            {
                "instance_group_name": "second",
                "instance_type": "ml.c5.xlarge",
                "hosts": ["algo-2", "algo-3"],
            },
        ],
        "network_interface_name": "lo",
    }
    assert resource_config(hosts(11), hosts(11)[0])["hosts"][:3] == ["algo-1", "algo-10", "algo-11"]


def test_several_hosts_have_an_address_each_and_a_single_one_needs_none() -> None:
    assert addresses(hosts(2)) == {"algo-1": "127.0.1.1", "algo-2": "127.0.1.2"}
    assert addresses(hosts(1)) == {}


def test_sharding_deals_the_sorted_keys_out_in_turn(objects: ObjectStore) -> None:
    for key in ("c", "a", "e", "b", "d"):
        objects.put("b", f"data/{key}", b"1")
    objects.put("b", "data/folder/", b"")
    asked, three = channel(S3DataDistributionType="ShardedByS3Key"), hosts(3)
    assert [names(objects, asked, three, host) for host in three] == [["a", "d"], ["b", "e"], ["c"]]
    whole = names(objects, channel(), three, three[1])
    assert whole == ["a", "b", "c", "d", "e", "folder/"]


def test_a_host_beyond_the_number_of_objects_gets_none(objects: ObjectStore) -> None:
    objects.put("b", "data/a", b"1")
    asked, two = channel(S3DataDistributionType="ShardedByS3Key"), hosts(2)
    assert names(objects, asked, two, two[1]) == []


def test_a_channel_of_an_instance_group_is_dealt_out_among_its_hosts_alone(objects: ObjectStore) -> None:
    for key in "abcd":
        objects.put("b", f"data/{key}", b"1")
    asked = channel(S3DataDistributionType="ShardedByS3Key", InstanceGroupNames=["second"])
    found = hosts_of(GROUPS)
    assert [host.name for host in asked.receivers(found)] == ["algo-2", "algo-3"]
    assert names(objects, asked, found, found[1]) == ["a", "c"]


def test_a_seed_gives_every_epoch_an_order_of_its_own_and_the_same_again(objects: ObjectStore) -> None:
    for key in range(20):
        objects.put("b", f"data/{key:02}", b"1")
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://b/data/", "S3DataDistributionType": "ShardedByS3Key"}
    request = {
        "ChannelName": "rows",
        "DataSource": {"S3DataSource": source},
        "ShuffleConfig": {"Seed": 7},
    }
    asked, two = Channel.of(request, "Pipe"), hosts(2)
    first, again = (names(objects, asked, two, two[0]) for _ in range(2))
    later = names(objects, asked, two, two[0], epoch=1)
    assert first == again
    assert set(first) != set(later)
    assert set(later) | set(names(objects, asked, two, two[1], epoch=1)) == {f"{n:02}" for n in range(20)}


def test_a_manifest_names_the_objects_of_a_channel_in_its_order(objects: ObjectStore, tmp_path: Path) -> None:
    for key in ("deep/a", "b", "not-listed"):
        objects.put("b", f"data/{key}", key.encode())
    manifest = [{"prefix": "s3://b/data/"}, "deep/a", "b"]
    objects.put("b", "rows.manifest", json.dumps(manifest).encode())
    items = items_of(objects, "s3://b/rows.manifest", "ManifestFile")
    assert [item.name for item in items] == ["deep/a", "b"]
    assert Downloads(objects, share=False).place(items, tmp_path / "in") == 2
    assert (tmp_path / "in" / "deep" / "a").read_bytes() == b"deep/a"


@pytest.mark.parametrize(
    "text",
    [
        b"not json",
        b"{}",
        b"[]",
        b'["a"]',
        b'[{"prefix": "s3://b/"}]',
        b'[{"prefix": "https://b/"}, "a"]',
        b'[{"prefix": "s3://b/"}, 1]',
        b'[{"prefix": "s3://b/"}, ""]',
        b'[{"prefix": 3}, "a"]',
    ],
)
def test_what_is_no_manifest_is_refused_with_its_address(text: bytes) -> None:
    with pytest.raises(DownloadError, match="s3://b/m is no manifest"):
        read_manifest(text, "s3://b/m")


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (None, "matched no files on s3"),
        ([{"prefix": "s3://b/data/"}, "absent"], "s3://b/data/absent matched no files on s3"),
        ([{"prefix": "s3://nowhere/data/"}, "absent"], "NoSuchBucket"),
    ],
)
def test_a_manifest_or_an_object_of_it_that_is_missing_is_named(
    objects: ObjectStore, manifest: object, words: str
) -> None:
    if manifest is not None:
        objects.put("b", "m", json.dumps(manifest).encode())
    with pytest.raises(DownloadError, match=words):
        items_of(objects, "s3://b/m", "ManifestFile")
