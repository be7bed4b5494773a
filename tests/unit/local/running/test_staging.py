"""Bytes between S3 and /opt/ml: channels, checkpoints, archives."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest

from ift_sagemaker.local.running import artifacts
from ift_sagemaker.local.running.artifacts import (
    ArchiveError,
    Caps,
    Upload,
    as_files,
    extract,
    pack,
    put_all,
    stable_copy,
)
from ift_sagemaker.local.running.checkpoints import CheckpointMirror, MirrorThread, checkpoint_folder
from ift_sagemaker.local.running.hosts import hosts_of
from ift_sagemaker.local.running.inputs import sealed
from ift_sagemaker.local.running.left_behind import Entry, MergedFolders, ProgramFolder
from ift_sagemaker.local.running.staging import DownloadError, Downloads, relative_name, safe_name
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.state.store import Store
from ift_sagemaker.local.supervision.folders import Workplace
from tests.unit.local.machine import channel


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    found = ObjectStore(Store(tmp_path / "aws"))
    found.create_bucket("b")
    return found


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    ("key", "prefix", "expected"),
    [
        ("data/train", "data/train", "train"),
        ("data/train/a.csv", "data/train", "a.csv"),
        ("data/train/deep/a.csv", "data/train/", "deep/a.csv"),
        ("data/training/a.csv", "data/train", "training/a.csv"),
        ("data/train.csv", "data/train", "train.csv"),
        ("a.csv", "", "a.csv"),
        ("deep/a.csv", "", "deep/a.csv"),
        ("data/train/", "data/train/", ""),
    ],
)
def test_a_key_keeps_its_name_below_the_prefix(key: str, prefix: str, expected: str) -> None:
    assert relative_name(key, prefix) == expected


@pytest.mark.parametrize("name", ["../a", "a/../b", "./a", "a//b", "/a", "a\0b", ".."])
def test_a_key_that_would_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(DownloadError):
        safe_name(name)


@pytest.mark.parametrize("share", [True, False])
def test_channels_are_read_only_files_and_links_only_where_shared(
    objects: ObjectStore,
    tmp_path: Path,
    share: bool,
) -> None:
    objects.put("b", "data/a", b"1")
    objects.put("b", "data/deep/b", b"2")
    objects.put("b", "data/empty/", b"")
    assert Downloads(objects, share=share).prefix("s3://b/data", tmp_path / "in") == 2
    assert files(tmp_path / "in") == {"a": b"1", "deep/b": b"2"}
    assert (tmp_path / "in" / "empty").is_dir()
    status = (tmp_path / "in" / "a").stat()
    assert (status.st_mode & 0o777, status.st_nlink) == (0o444, 2 if share else 1)


@pytest.mark.parametrize(
    ("keys", "uri", "words"),
    [
        (["data/a"], "s3://b/other", "matched no files"),
        (["data/a"], "s3://nowhere/data", "NoSuchBucket"),
        (["data/../../a"], "s3://b/data", "cannot be a file"),
        (["data/a", "data/a/b"], "s3://b/data", "cannot be a file here"),
        ([f"data/{'x' * 300}"], "s3://b/data", "cannot be a file here"),
    ],
)
def test_what_cannot_be_downloaded_says_why(
    objects: ObjectStore, tmp_path: Path, keys: list[str], uri: str, words: str
) -> None:
    for key in keys:
        objects.put("b", key, b"1")
    with pytest.raises(DownloadError, match=words):
        Downloads(objects, share=False).prefix(uri, tmp_path / "in")


def test_equal_folders_give_equal_archives_in_the_order_of_names(tmp_path: Path) -> None:
    for number, names in enumerate((["b", "a", "deep/z"], ["deep/z", "a", "b"])):
        folder = tmp_path / str(number)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
            os.utime(folder / name, (1000, 1000))
        os.utime(folder / "deep", (1000, 1000))
        pack(ProgramFolder(tmp_path, str(number)), tmp_path / f"{number}.tar.gz")
    assert (tmp_path / "0.tar.gz").read_bytes() == (tmp_path / "1.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "0.tar.gz") as tar:
        assert tar.getnames() == ["a", "b", "deep", "deep/z"]
        assert {(member.uid, member.uname) for member in tar} == {(0, "")}


def test_an_archive_holds_no_pipes_and_links_stay_links(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("/etc/hostname")
    pack(ProgramFolder(tmp_path, "model"), tmp_path / "m.tar.gz")
    with tarfile.open(tmp_path / "m.tar.gz") as tar:
        assert [(member.name, member.issym()) for member in tar] == [("link", True)]


def test_a_packed_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "weights").write_bytes(os.urandom(100_000))
    pack(ProgramFolder(tmp_path, "in"), tmp_path / "m.tar.gz")
    extract(tmp_path / "m.tar.gz", tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "in")


@pytest.mark.parametrize("left", [0.1, 0.5, 0.9, 0.999])
def test_an_archive_cut_anywhere_is_refused(tmp_path: Path, left: float) -> None:
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / name).write_bytes(os.urandom(20_000))
    pack(ProgramFolder(tmp_path, "in"), tmp_path / "m.tar.gz")
    whole = (tmp_path / "m.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: int(len(whole) * left)])
    with pytest.raises(ArchiveError, match="damaged"):
        extract(tmp_path / "cut.tar.gz", tmp_path / "out")


def test_an_archive_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name in ("a", "b"):
            member = tarfile.TarInfo(name)
            member.size = 512
            tar.addfile(member, io.BytesIO(b"x" * 512))
    whole = gzip.compress(raw.getvalue()[:1024])  # the header and the bytes of `a` alone
    (tmp_path / "cut.tar.gz").write_bytes(whole[:-8])
    with pytest.raises(ArchiveError, match="damaged"):
        extract(tmp_path / "cut.tar.gz", tmp_path / "out")


def crafted(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.SYMTYPE, "../outside"),
        member("hard", tarfile.LNKTYPE, "/etc/passwd"),
        member("hard", tarfile.LNKTYPE, "absent"),
        member("device", tarfile.CHRTYPE),
    ],
)
def test_members_that_lead_out_of_the_folder_are_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    path = crafted(tmp_path / "m.tar.gz", (bad, b""))
    with pytest.raises(ArchiveError, match="unsafe"):
        extract(path, tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_archives_beyond_the_caps_are_refused_before_they_fill_the_disk(tmp_path: Path) -> None:
    bomb = crafted(tmp_path / "bomb.tar.gz", (member("zeros"), bytes(5_000_000)))
    with pytest.raises(ArchiveError, match="grows beyond"):
        extract(bomb, tmp_path / "out", Caps(ratio=10, free=1000))
    assert files(tmp_path / "out") == {}
    many = crafted(tmp_path / "many.tar.gz", *((member(str(number)), b"") for number in range(11)))
    with pytest.raises(ArchiveError, match="more than 10 members"):
        extract(many, tmp_path / "many", Caps(members=10))


def test_what_follows_the_end_of_an_archive_is_not_read_for_ever(tmp_path: Path) -> None:
    raw = gzip.compress(bytes(40 << 20))
    (tmp_path / "m.tar.gz").write_bytes(raw)
    with pytest.raises(ArchiveError, match="behind its end"):
        extract(tmp_path / "m.tar.gz", tmp_path / "out")


def test_uploads_are_all_there_or_none(objects: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    uploads = [Upload("out/one", tmp_path / "one"), Upload("out/two", tmp_path / "absent")]
    with pytest.raises(FileNotFoundError):
        put_all(objects, "b", uploads)
    assert list(objects.list("b")) == []


def test_an_object_that_was_there_before_a_failed_upload_is_not_taken_away(
    objects: ObjectStore, tmp_path: Path
) -> None:
    objects.put("b", "out/one", b"of an earlier run")
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    names = ("one", "two", "absent")
    with pytest.raises(FileNotFoundError):
        put_all(objects, "b", [Upload(f"out/{name}", tmp_path / name) for name in names])
    assert [found.key for found in objects.list("b")] == ["out/one"]


def test_checkpoints_come_back_and_only_changes_go_out(objects: ObjectStore, tmp_path: Path) -> None:
    objects.put("b", "cp/old", b"0")
    objects.put("b", "cpother", b"not ours")
    folder = tmp_path / "checkpoints"
    mirror = CheckpointMirror(objects, "s3://b/cp", ProgramFolder(tmp_path, "checkpoints"), tmp_path / "desk")
    assert mirror.restore() == 1
    (folder / "old").open("ab").close()  # it may be written
    assert mirror.sync() == 0
    (folder / "new").write_text("1")
    (folder / "link").symlink_to("/etc/hostname")
    assert (mirror.sync(), mirror.sync()) == (1, 0)
    (folder / "new").write_text("23")
    (folder / "old").unlink()
    assert mirror.sync() == 1
    kept = {found.key: found.path.read_bytes() for found in objects.list("b", "cp/")}
    assert kept == {"cp/new": b"23", "cp/old": b"0"}
    (folder / "new").write_text("written again, and S3 keeps what it has")
    found = objects.get("b", "cp/new")
    assert found is not None
    assert found.path.read_bytes() == b"23"


def test_a_file_that_changes_while_it_is_copied_is_left_for_the_next_time(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "folder").mkdir()
    assert copied(source) == artifacts.signature(source.stat())
    assert copied(Path("/proc/self/stat")) is None  # its size never is what is read
    assert copied(tmp_path / "link") is None
    assert copied(tmp_path / "folder") is None


def copied(source: Path) -> tuple[int, int] | None:
    """What `stable_copy` says of a copy of `source`."""
    with ProgramFolder(source.parent, "").opened() as folder, tempfile.TemporaryDirectory() as desk:
        assert folder is not None
        return stable_copy(Entry(source.name, source.name, folder, source.lstat()), Path(desk) / "copy")


def test_a_mirror_that_cannot_write_says_so_once(objects: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "a").write_text("1")
    folder = ProgramFolder(tmp_path, "checkpoints")
    mirror = CheckpointMirror(objects, "s3://nowhere/cp", folder, tmp_path / "desk")
    told: list[str] = []
    thread = MirrorThread(mirror, told.append, interval=60)
    thread.start()
    thread.finish()
    thread.finish()
    assert len(told) == 1
    assert "bucket does not exist" in told[0]


def test_the_checkpoint_folder_is_the_one_asked_for(tmp_path: Path) -> None:
    assert checkpoint_folder({}, tmp_path).path == tmp_path / "checkpoints"
    asked = {"CheckpointConfig": {"LocalPath": "/opt/ml/mine/"}}
    assert checkpoint_folder(asked, tmp_path).path == tmp_path / "mine"


def test_a_workplace_goes_whatever_modes_a_program_left(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "job")
    place.make()
    (place.ml() / "closed").mkdir(parents=True)
    (place.ml() / "closed" / "file").write_text("x")
    (place.ml() / "closed").chmod(0o000)
    place.remove()
    assert not place.home.exists()


def test_text_of_a_program_is_read_from_plain_files_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "failure").write_text("é" * 50)
    folder = ProgramFolder(tmp_path, "")
    assert folder.read_text("failure", 10) == "é" * 10
    assert [folder.read_text(name, 10) for name in ("link", "pipe", "absent")] == [None, None, None]


@pytest.mark.parametrize("link", ["output", "output/data", "output/data/deep"])
def test_a_link_in_place_of_a_folder_shows_nothing_of_where_it_leads(
    objects: ObjectStore, tmp_path: Path, link: str
) -> None:
    secrets, ml = tmp_path / "secrets", tmp_path / "ml"
    for folder in (secrets, secrets / "deep", secrets / "data" / "deep"):
        folder.mkdir(parents=True)
        (folder / "failure").write_text("secret")
    (ml / link).parent.mkdir(parents=True)
    (ml / link).symlink_to(secrets)
    left = ProgramFolder(ml, "output/data")
    pack(left, tmp_path / "m.tar.gz")
    with tarfile.open(tmp_path / "m.tar.gz") as tar:
        assert [found.name for found in tar if not found.issym()] == []
    assert as_files(left, "out/", tmp_path / "desk") == []
    assert CheckpointMirror(objects, "s3://b/cp", left, tmp_path / "desk").sync() == 0
    assert ProgramFolder(ml, link).is_empty()
    assert ProgramFolder(ml, link).read_text("failure", 10) is None
    assert ProgramFolder(ml, f"{link}/../../../secrets").is_empty()


def test_uncompressed_results_are_set_aside_before_they_are_uploaded(tmp_path: Path) -> None:
    (tmp_path / "ml" / "model" / "deep").mkdir(parents=True)
    (tmp_path / "ml" / "model" / "deep" / "weights").write_text("learned")
    (upload,) = as_files(ProgramFolder(tmp_path / "ml", "model"), "out/", tmp_path / "desk")
    (tmp_path / "ml" / "model" / "deep" / "weights").unlink()
    assert (upload.key, upload.path.read_text()) == ("out/deep/weights", "learned")


def test_all_inputs_are_sealed_but_the_scripts_that_the_sdk_unpacks_in_place() -> None:
    channels = [channel(name, "s3://b/x/") for name in ("training", "code", "sm_drivers")]
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
    job = {"InputDataConfig": channels, "ResourceConfig": resources, "AlgorithmSpecification": {}}
    hosts = hosts_of(resources)
    assert sealed(job, hosts, hosts[0]) == ("input/config", "input/data/training")


def test_folders_of_several_hosts_are_one_and_the_first_host_goes_before(tmp_path: Path) -> None:
    for host, names in (("algo-1", ["a", "clash", "deep/one"]), ("algo-2", ["b", "clash/below", "deep/two"])):
        for name in names:
            (tmp_path / host / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / host / name).write_text(host)
    (tmp_path / "algo-2" / "a").mkdir()
    (tmp_path / "algo-2" / "a" / "below").write_text("algo-2")
    merged = MergedFolders([ProgramFolder(tmp_path, host) for host in ("algo-1", "algo-2", "algo-3")])
    pack(merged, tmp_path / "m.tar.gz")
    extract(tmp_path / "m.tar.gz", tmp_path / "out")
    assert files(tmp_path / "out") == {
        "a": b"algo-1",
        "b": b"algo-2",
        "clash": b"algo-1",
        "deep/one": b"algo-1",
        "deep/two": b"algo-2",
    }
    assert not merged.is_empty()
    assert MergedFolders([ProgramFolder(tmp_path, "algo-3")]).is_empty()


def test_a_checkpoint_takes_its_name_whole_or_not_at_all(objects: ObjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    objects.put("b", "cp/state", b"old and whole")
    mirror = CheckpointMirror(objects, "s3://b/cp", ProgramFolder(tmp_path, "checkpoints"), tmp_path / "desk")
    mirror.restore()
    (folder / "state.tmp").write_bytes(b"new, half")
    mirror.sync()
    found = objects.get("b", "cp/state")
    assert found is not None
    assert found.path.read_bytes() == b"old and whole"
    (folder / "state.tmp").rename(folder / "state")
    mirror.sync()
    found = objects.get("b", "cp/state")
    assert found is not None
    assert found.path.read_bytes() == b"new, half"


def test_a_workplace_is_cleared_of_all_but_its_log(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "job")
    place.make()
    place.log.write_text("words")
    (place.ml("algo-2") / "model").mkdir(parents=True)
    place.outgoing.mkdir()
    place.clear()
    assert list(place.home.iterdir()) == [place.log]
