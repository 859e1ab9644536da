from __future__ import annotations

import errno
import gzip
import io
import itertools
import os
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.fetch import archives
from pipeline.fetch.archives import ArchiveError, unpack_tar, unpack_zip
from pipeline.fetch.http import DiskFullError

FILES = {f"top/main/{k:03d}/{k:05d}.mp4": bytes([k]) * (700 * k + 1) for k in range(12)}


def tar_of(files: dict[str, bytes], mode: str = "w") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def in_parts(content: bytes, num_parts: int, folder: Path) -> list[Path]:
    size = -(-len(content) // num_parts)
    paths = [folder / f"part{chr(97 + k)}" for k in range(num_parts)]
    for k, path in enumerate(paths):
        path.write_bytes(content[k * size : (k + 1) * size])
    return paths


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("num_parts", [1, 2, 7])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_parts_are_read_as_one_archive(tmp_path: Path, num_parts: int, mode: str) -> None:
    parts = in_parts(tar_of(FILES, mode), num_parts, tmp_path)
    positions: list[int] = []
    unpacked = unpack_tar(parts, tmp_path / "out", on_position=positions.append)
    assert tree(tmp_path / "out") == FILES
    assert (unpacked.num_files, unpacked.num_skipped) == (len(FILES), 0)
    assert unpacked.num_bytes == sum(map(len, FILES.values()))
    assert positions == sorted(positions)


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=6), names=st.integers(1, 5))
def test_any_cut_into_parts_gives_the_same_tree(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], names: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    files = dict(list(FILES.items())[:names])
    content = tar_of(files)
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    parts = []
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        parts.append(folder / f"{number}")
        parts[-1].write_bytes(content[start:stop])
    unpack_tar(parts, folder / "out")
    assert tree(folder / "out") == files


def test_interrupted_unpacking_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = in_parts(tar_of(FILES), 3, tmp_path)
    real, written = archives._write, []

    def stop_after_five(source: Any, size: int, target: Path) -> tuple[int, bool]:
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(target)
        return real(source, size, target)

    monkeypatch.setattr(archives, "_write", stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        unpack_tar(parts, tmp_path / "out")
    assert len(tree(tmp_path / "out")) == 5
    monkeypatch.setattr(archives, "_write", real)
    before = {path: path.stat().st_mtime_ns for path in written}
    assert unpack_tar(parts, tmp_path / "out").num_skipped == 5
    assert {path: path.stat().st_mtime_ns for path in written} == before
    assert tree(tmp_path / "out") == FILES


def test_a_file_of_another_size_is_written_again(tmp_path: Path) -> None:
    parts = in_parts(tar_of(FILES), 1, tmp_path)
    unpack_tar(parts, tmp_path / "out")
    name = "top/main/003/00003.mp4"
    (tmp_path / "out" / name).write_bytes(b"half")
    assert unpack_tar(parts, tmp_path / "out").num_skipped == len(FILES) - 1
    assert tree(tmp_path / "out") == FILES


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "../x", "top/../../x", "top/..", "a\\..\\x"])
def test_names_outside_the_target_folder_are_errors(tmp_path: Path, name: str) -> None:
    (tmp_path / "bad.tar").write_bytes(tar_of({"top/a": b"fine", name: b"bad"}))
    with pytest.raises(ArchiveError, match="points outside the target folder"):
        unpack_tar([tmp_path / "bad.tar"], tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, b"bad")
    with pytest.raises(ArchiveError, match="points outside the target folder"):
        unpack_zip(tmp_path / "bad.zip", tmp_path / "out")
    assert tree(tmp_path / "out") == {"top/a": b"fine"}
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_errors(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        member = tarfile.TarInfo("top/link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(ArchiveError, match="'top/link' is neither a file nor a folder"):
        unpack_tar([tmp_path / "bad.tar"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_zip_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        member = zipfile.ZipInfo("s1/link")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(ArchiveError, match="neither a file nor a folder"):
        unpack_zip(tmp_path / "bad.zip", tmp_path / "out")


def test_an_existing_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(outside)
    (tmp_path / "a.tar").write_bytes(tar_of({"a": b"new"}))
    unpack_tar([tmp_path / "a.tar"], tmp_path / "out")
    assert outside.read_bytes() == b"x"
    assert (tmp_path / "out" / "a").read_bytes() == b"new"


@pytest.mark.parametrize("lost", [1, 700, 1024, 5000, 20_000, 30_000])
def test_a_truncated_archive_is_an_error_at_any_length(tmp_path: Path, lost: int) -> None:
    content = tar_of(FILES).rstrip(b"\0")
    content = content + bytes(-len(content) % 512)  # without the zeros at the end
    (tmp_path / "cut.tar").write_bytes(content[:-lost])
    with pytest.raises(ArchiveError, match=r"ends too early|cannot be unpacked"):
        unpack_tar([tmp_path / "cut.tar"], tmp_path / "out")
    for name, found in tree(tmp_path / "out").items():
        assert found == FILES[name]


def test_a_flipped_bit_in_a_compressed_archive_is_an_error(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(tar_of(FILES), compresslevel=0))  # stored: the flipped bit is in a clip
    content[len(content) // 2] ^= 1
    (tmp_path / "bad.tar.gz").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"bad\.tar\.gz cannot be unpacked: CRC check failed"):
        unpack_tar([tmp_path / "bad.tar.gz"], tmp_path / "out")


def test_missing_and_unordered_parts_are_errors(tmp_path: Path) -> None:
    parts = in_parts(tar_of(FILES), 4, tmp_path)
    for kept in (parts[:-1], [parts[0], parts[2], parts[3]], parts[::-1]):
        with pytest.raises(ArchiveError):
            unpack_tar(kept, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"<html>not here</html>" * 100])
def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"x\.tar cannot be unpacked"):
        unpack_tar([tmp_path / "x.tar"], tmp_path / "out")
    with pytest.raises(ArchiveError, match=r"x\.tar cannot be unpacked"):
        unpack_zip(tmp_path / "x.tar", tmp_path / "out")


def test_zip_members_are_written_to_their_placed_paths(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s1/", "")
        archive.writestr("s1/bbaf2n.mpg", b"clip" * 1000)
        archive.writestr("__MACOSX/._bbaf2n.mpg", b"junk")

    def place(name: PurePosixPath) -> PurePosixPath | None:
        return None if name.parts[0] == "__MACOSX" else PurePosixPath("x", name.name)

    unpacked = unpack_zip(tmp_path / "s1.zip", tmp_path / "out", place=place)
    assert tree(tmp_path / "out") == {"x/bbaf2n.mpg": b"clip" * 1000}
    assert unpacked.num_files == 1


def test_a_damaged_zip_member_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s1.zip", "w") as archive:
        archive.writestr("s1/a.mpg", os.urandom(5000))
    content = bytearray((tmp_path / "s1.zip").read_bytes())
    content[2000] ^= 1
    (tmp_path / "s1.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match="CRC"):
        unpack_zip(tmp_path / "s1.zip", tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.tar").write_bytes(tar_of(FILES))
    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(DiskFullError, match=r"the disk is full; .* run again to resume"):
        unpack_tar([tmp_path / "a.tar"], tmp_path / "out")
    assert tree(tmp_path / "out") == {}
