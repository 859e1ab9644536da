from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import UserError
from pipeline.corpora.lrs2 import list_lrs2_clips, read_split_list
from pipeline.corpora.lrs2_download import LISTS, download_lrs2
from pipeline.corpora.verify import LRS2_COUNTS, table_of, verify_lrs2
from pipeline.fetch import batch, http
from pipeline.fetch.http import DiskFullError, InterruptedTransferError, RefusedTransferError, WrongContentError
from pipeline.params import Lrs2Params
from tests.support.loopback import Server, serving

SPLITS = {"train": 6, "val": 2, "test": 3}
PASSWORD = "open sesame"


def _corpus() -> tuple[bytes, dict[str, bytes]]:
    """Return an archive in LRS2's layout, and its split lists."""
    packed, lists = io.BytesIO(), dict.fromkeys(LISTS, b"")
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number, (split, count) in enumerate(SPLITS.items()):
            for clip in range(count):
                clip_id = f"{6_000_000_000_000_000_000 + number}/{clip + 1:05d}"
                for suffix, content in ((".mp4", clip_id.encode() * 3000), (".txt", b"Text:  HELLO\nConf:  5\n")):
                    member = tarfile.TarInfo(f"mvlrs_v1/main/{clip_id}{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
                lists[f"{split}.txt"] += f"{clip_id}{' NF' if split == 'test' else ''}\n".encode()
    return packed.getvalue(), lists


ARCHIVE, LIST_FILES = _corpus()
PARTS = {f"lrs2_v1_parta{'abc'[k]}": ARCHIVE[k * 200_000 : (k + 1) * 200_000 if k < 2 else None] for k in range(3)}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http, "RETRY_WAIT_S", 0.0)
    monkeypatch.setenv("NETRC", "/dev/null")
    monkeypatch.setenv("LIPSMITH_LRS2_USER", "anna")
    monkeypatch.setenv("LIPSMITH_LRS2_PASSWORD", PASSWORD)
    with serving() as server:
        server.password_of = {"anna": PASSWORD}
        server.files = {f"/data2/{name}": content for name, content in {**LIST_FILES, **PARTS}.items()}
        server.files["/data2/lrs2_v1.tar"] = ARCHIVE
        yield server


def settings(server: Server, **changed: Any) -> Lrs2Params:
    url = f"{server.url}/data2/"
    given = {"root": None, "url": url, "archives": ["lrs2_v1.tar"], "md5": {}, "keep_archives": False}
    return Lrs2Params(**{**given, **changed})


@pytest.mark.parametrize("archives", [["lrs2_v1.tar"], list(PARTS)])
def test_both_published_forms_give_the_same_clips(server: Server, tmp_path: Path, archives: list[str]) -> None:
    sums = {name: hashlib.md5(server.files[f"/data2/{name}"]).hexdigest() for name in archives}
    download_lrs2(settings(server, archives=archives, md5=sums), tmp_path, 3)
    records = list_lrs2_clips(tmp_path)
    assert {split: sum(r.split == split for r in records) for split in SPLITS} == SPLITS
    assert all(record.num_bytes and record.transcript == "HELLO" for record in records)
    left = sorted(path.name for path in (tmp_path / ".archives").iterdir())
    assert left == [".lock", "lrs2.unpacked.json"]  # no partial file, no archive


def test_a_second_download_sends_no_request_and_needs_no_password(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download_lrs2(settings(server), tmp_path, 2)
    server.requests.clear()
    monkeypatch.delenv("LIPSMITH_LRS2_PASSWORD")
    download_lrs2(settings(server), tmp_path, 2)
    assert server.requests == []


def test_clips_that_were_moved_and_linked_are_not_fetched_again(server: Server, tmp_path: Path) -> None:
    download_lrs2(settings(server), tmp_path / "corpus", 2)
    main_dir = tmp_path / "corpus" / "mvlrs_v1" / "main"
    main_dir.symlink_to(main_dir.rename(tmp_path / "other disk"))
    server.requests.clear()
    download_lrs2(settings(server), tmp_path / "corpus", 2)
    assert server.requests == []


def test_kept_archives_can_be_copied_to_another_root(server: Server, tmp_path: Path) -> None:
    download_lrs2(settings(server, keep_archives=True), tmp_path / "a", 2)
    kept = tmp_path / "a" / ".archives" / "lrs2_v1.tar"
    assert kept.read_bytes() == ARCHIVE
    (tmp_path / "b" / ".archives").mkdir(parents=True)
    shutil.copy(kept, tmp_path / "b" / ".archives")
    server.requests.clear()
    download_lrs2(settings(server), tmp_path / "b", 2)
    assert {path for path, _ in server.requests} == {f"/data2/{name}" for name in LISTS}
    assert len(list_lrs2_clips(tmp_path / "b")) == sum(SPLITS.values())


def test_the_next_run_resumes_after_a_dropped_connection(server: Server, tmp_path: Path) -> None:
    download_lrs2(settings(server, archives=list(PARTS)), tmp_path / "first", 1)  # lists come first
    server.requests.clear()
    for name in LISTS:
        (tmp_path / name).write_bytes(LIST_FILES[name])
    server.break_after = [3 * http.CHUNK_BYTES, *[0] * http.ATTEMPTS]
    with pytest.raises(InterruptedTransferError, match=r"lrs2_v1_partaa: stopped after.* 196,608 bytes are kept"):
        download_lrs2(settings(server, archives=list(PARTS)), tmp_path, 1)
    server.break_after.clear()
    download_lrs2(settings(server, archives=list(PARTS)), tmp_path, 1)
    assert ("/data2/lrs2_v1_partaa", "bytes=196608-") in server.requests
    assert len(list_lrs2_clips(tmp_path)) == sum(SPLITS.values())


def test_a_wrong_checksum_stops_before_anything_is_unpacked(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WrongContentError, match=r"lrs2_v1\.tar has md5 .* not 0{32}"):
        download_lrs2(settings(server, md5={"lrs2_v1.tar": "0" * 32}), tmp_path, 2)
    assert not (tmp_path / "mvlrs_v1").exists()


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"archives": list(PARTS)}, r"md5 in params\.yaml has lrs2_v1\.tar, .* lrs2_v1_partaa, .*, pretrain\.txt, "),
        ({"archives": ["lrs2_v1.tar"] * 2}, r"archives in params\.yaml lists lrs2_v1\.tar twice"),
    ],
)
def test_a_checksum_of_an_unknown_file_and_a_repeated_file_are_errors(
    server: Server, tmp_path: Path, changed: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        download_lrs2(settings(server, md5={"lrs2_v1.tar": "0" * 32}, **changed), tmp_path, 2)
    assert server.requests == []


def test_a_refusal_names_the_source_of_the_password(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIPSMITH_LRS2_PASSWORD", "shibboleth")
    with pytest.raises(RefusedTransferError, match="LIPSMITH_LRS2_USER and LIPSMITH_LRS2_PASSWORD") as caught:
        download_lrs2(settings(server), tmp_path, 2)
    assert "shibboleth" not in str(caught.value)
    monkeypatch.setenv("LIPSMITH_LRS2_PASSWORD", PASSWORD)
    with pytest.raises(RefusedTransferError, match=r"lrs2_v2\.tar: HTTP 404 .* params\.yaml"):
        download_lrs2(settings(server, archives=["lrs2_v2.tar"]), tmp_path, 2)
    server.forbidden.add("/data2/lrs2_v1.tar")
    with pytest.raises(RefusedTransferError, match="HTTP 403"):
        download_lrs2(settings(server), tmp_path, 2)


def test_free_space_is_checked_before_the_first_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil._ntuple_diskusage(10**12, 0, batch.RESERVE_BYTES + 2 * len(ARCHIVE) - 1000)
    monkeypatch.setattr(batch.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFullError, match="free some space, or choose another folder"):
        download_lrs2(settings(server), tmp_path, 2)
    assert server.requests == []


def test_an_existing_archive_still_needs_free_space_for_unpacking(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".archives").mkdir()
    (tmp_path / ".archives" / "lrs2_v1.tar").write_bytes(ARCHIVE)
    usage = shutil._ntuple_diskusage(10**12, 0, batch.RESERVE_BYTES + len(ARCHIVE) - 1000)
    monkeypatch.setattr(batch.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFullError, match="free some space, or choose another folder"):
        download_lrs2(settings(server), tmp_path, 2)
    assert not (tmp_path / "mvlrs_v1").exists()


def test_verify_counts_clips_per_split(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    download_lrs2(settings(server), tmp_path, 2)
    main_dir = tmp_path / "mvlrs_v1" / "main"
    clips = [main_dir / f"{clip_id}.mp4" for clip_id in read_split_list(tmp_path / "train.txt")]
    clips[0].unlink()
    clips[1].write_bytes(b"")
    counts = {count.name: count for count in verify_lrs2(tmp_path)}
    assert set(counts) == set(LRS2_COUNTS)
    train = counts["train"]
    assert (train.listed, train.absent, train.empty, train.published) == (6, 1, 1, 45_839)
    assert not any(count.is_complete for count in counts.values())
    for split, count in SPLITS.items():
        monkeypatch.setitem(LRS2_COUNTS, split, count)
    verdicts = {count.name: count.is_complete for count in verify_lrs2(tmp_path)}
    assert verdicts == {"pretrain": False, "train": False, "val": True, "test": True}
    lines = table_of(verify_lrs2(tmp_path)).plain().splitlines()
    assert lines[2].split() == ["train", "6", "1", "1", "6", "DIFFERS"]
    assert lines[3].split() == ["val", "2", "0", "0", "2", "complete"]


def test_a_few_missing_clips_become_rejects_and_many_are_an_error(server: Server, tmp_path: Path) -> None:
    download_lrs2(settings(server), tmp_path, 2)
    clips = sorted((tmp_path / "mvlrs_v1").rglob("*.mp4"))
    clips[0].unlink()
    absent = [record for record in list_lrs2_clips(tmp_path) if not record.num_bytes]
    assert [record.path for record in absent] == [str(clips[0])]
    clips[1].unlink()
    with pytest.raises(UserError, match="2 of 11 listed clips have no file"):
        list_lrs2_clips(tmp_path)
