from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.fetch import http
from pipeline.fetch.credentials import Credentials
from pipeline.fetch.http import (
    ATTEMPTS,
    Checksum,
    DiskFullError,
    InterruptedTransferError,
    RefusedTransferError,
    RemoteFile,
    WrongContentError,
    download,
    fetch_json,
    remote_size,
)
from tests.support.loopback import Server, serving

CONTENT = bytes(range(256)) * 8000
CHUNK = http.CHUNK_BYTES
MD5 = Checksum("md5", hashlib.md5(CONTENT).hexdigest())
SECRET = "correct horse battery"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http, "RETRY_WAIT_S", 0.0)
    with serving() as server:
        server.files["/a.tar"] = CONTENT
        yield server


def remote(server: Server, folder: Path, name: str = "a.tar", **known: Any) -> RemoteFile:
    return RemoteFile(f"{server.url}/{name}", folder / name, **known)


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_only_once(server: Server, tmp_path: Path) -> None:
    wanted = remote(server, tmp_path / "new", size_bytes=len(CONTENT), checksum=MD5)
    download(wanted)
    download(wanted)
    assert wanted.path.read_bytes() == CONTENT
    assert server.requests == [("/a.tar", None)]
    assert left_over(tmp_path / "new") == ["a.tar"]


def test_dropped_connections_are_resumed_as_long_as_bytes_come(server: Server, tmp_path: Path) -> None:
    server.break_after = [CHUNK] * (2 * ATTEMPTS)
    download(remote(server, tmp_path, checksum=MD5))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    starts = [asked for _, asked in server.requests]
    assert starts == [None, *(f"bytes={CHUNK * k}-" for k in range(1, 2 * ATTEMPTS + 1))]


def test_a_server_that_gives_nothing_is_given_up_and_the_bytes_are_kept(server: Server, tmp_path: Path) -> None:
    server.break_after = [10 * CHUNK + 5, *[0] * ATTEMPTS]
    with pytest.raises(InterruptedTransferError, match=r"a\.tar: gave up after 5 tries.*the 655,360 bytes .* are kept"):
        download(remote(server, tmp_path, checksum=MD5))
    assert not (tmp_path / "a.tar").exists()
    download(remote(server, tmp_path, checksum=MD5))
    assert server.requests[-1] == ("/a.tar", "bytes=655360-")
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_progress_counts_every_byte_once(server: Server, tmp_path: Path) -> None:
    server.break_after = [10 * CHUNK + 5, *[0] * ATTEMPTS]
    told: list[tuple[int, bool]] = []
    with pytest.raises(InterruptedTransferError):
        download(remote(server, tmp_path), on_bytes=lambda count, fresh: told.append((count, fresh)))
    assert sum(count for count, _ in told) == 10 * CHUNK
    told.clear()
    download(remote(server, tmp_path), on_bytes=lambda count, fresh: told.append((count, fresh)))
    assert told[0] == (10 * CHUNK, False)
    assert sum(count for count, fresh in told if fresh) == len(CONTENT) - 10 * CHUNK


def test_a_file_that_changed_meanwhile_starts_over(server: Server, tmp_path: Path) -> None:
    server.break_after = [10 * CHUNK + 5, *[0] * ATTEMPTS]
    with pytest.raises(InterruptedTransferError):
        download(remote(server, tmp_path))
    server.files["/a.tar"], server.etag = CONTENT[::-1], '"v2"'
    told: list[int] = []
    download(remote(server, tmp_path), on_bytes=lambda count, _: told.append(count))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT[::-1]
    assert sum(told) == len(CONTENT)


def test_without_a_version_nothing_is_continued(server: Server, tmp_path: Path) -> None:
    server.etag, server.break_after = None, [10 * CHUNK]
    download(remote(server, tmp_path))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert server.requests == [("/a.tar", None)] * 2


def test_a_weak_etag_gives_way_to_the_date(server: Server, tmp_path: Path) -> None:
    server.etag, server.last_modified = 'W/"v1"', "Tue, 02 Jan 2024 03:04:05 GMT"
    server.break_after = [10 * CHUNK]
    fresh: list[int] = []
    download(remote(server, tmp_path), on_bytes=lambda count, is_fresh: fresh.append(count * is_fresh))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert sum(fresh) == len(CONTENT)  # not a byte came twice


def test_bytes_of_another_kind_get_no_name(server: Server, tmp_path: Path) -> None:
    wanted = remote(server, tmp_path, content_problem=lambda path: f"has {path.stat().st_size} bytes of noise")
    with pytest.raises(WrongContentError, match=f"a.tar has {len(CONTENT)} bytes of noise; it was removed"):
        download(wanted)
    assert left_over(tmp_path) == []
    download(remote(server, tmp_path, content_problem=lambda path: ""))
    assert left_over(tmp_path) == ["a.tar"]


def test_wrong_bytes_are_removed_and_both_checksums_told(server: Server, tmp_path: Path) -> None:
    server.files["/a.tar"] = CONTENT[:-1] + b"!"
    with pytest.raises(WrongContentError, match=rf"has md5 [0-9a-f]{{32}}, not {MD5.hexdigest}") as caught:
        download(remote(server, tmp_path, checksum=MD5))
    assert f"{server.url}/a.tar" in str(caught.value)
    assert left_over(tmp_path) == []
    with pytest.raises(WrongContentError, match="has 2,048,000 bytes, not 5"):
        download(remote(server, tmp_path, size_bytes=5))


def test_a_wrong_file_in_the_way_is_named_and_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"mine")
    with pytest.raises(WrongContentError, match=r"a\.tar has md5 .* remove it"):
        download(remote(server, tmp_path, checksum=MD5))
    assert (tmp_path / "a.tar").read_bytes() == b"mine"
    assert server.requests == []


def test_busy_servers_are_asked_again_when_they_say(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    server.fail_with, server.retry_after = [503, 429], "7"
    download(remote(server, tmp_path))
    assert waits == [7.0, 7.0]
    waits.clear()
    server.fail_with = [503]
    assert remote_size(f"{server.url}/a.tar") == len(CONTENT)
    assert waits == [7.0]


@pytest.mark.parametrize(
    ("path", "status", "advice"),
    [("none", 404, "check it there"), ("secret.tar", 403, "ask its owner for access")],
)
def test_a_no_is_not_asked_again(server: Server, tmp_path: Path, path: str, status: int, advice: str) -> None:
    server.files["/secret.tar"] = b"x"
    server.forbidden.add("/secret.tar")
    with pytest.raises(RefusedTransferError, match=advice) as caught:
        download(remote(server, tmp_path, path))
    assert caught.value.status == status
    assert len(server.requests) == 1
    assert left_over(tmp_path) == []


def test_a_password_opens_and_never_shows(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NETRC", "/dev/null")
    server.password_of = {"anna": SECRET}
    with pytest.raises(RefusedTransferError, match=r"wants a user name and a password, none was found; .* ~/\.netrc"):
        download(remote(server, tmp_path))
    wrong = Credentials("anna", SECRET + "!", "; they come from HERE")
    with pytest.raises(
        RefusedTransferError, match="did not accept the user name and password; they come from HERE"
    ) as caught:
        download(remote(server, tmp_path), wrong)
    assert SECRET not in f"{caught.value!s}{caught.value!r}{wrong!r}"
    server.break_after = [2 * CHUNK]
    download(remote(server, tmp_path), Credentials("anna", SECRET))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert SECRET not in caplog.text


def test_netrc_gives_the_password_too(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login anna password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.password_of = {"anna": "hunter2"}
    download(remote(server, tmp_path / "out"))
    assert (tmp_path / "out" / "a.tar").is_file()


def test_the_password_does_not_follow_to_another_host(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", "/dev/null")
    with serving() as other:
        other.files["/a.tar"] = CONTENT
        server.moved["/a.tar"] = f"{other.url.replace('127.0.0.1', 'localhost')}/a.tar"
        download(remote(server, tmp_path), Credentials("anna", SECRET))
        assert server.authorizations[0] is not None
        assert other.authorizations == [None]


def test_a_full_disk_is_told_and_nothing_is_lost(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open, room = Path.open, 1_450_000

    def open_on_a_small_disk(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = real_open(path, mode, *args, **kwargs)
        if path.name != ".a.tar.part" or mode != "ab":
            return file

        class Small:
            def __enter__(self) -> Small:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, chunk: bytes) -> None:
                if file.tell() + len(chunk) > room:
                    raise OSError(errno.ENOSPC, "No space left on device")
                file.write(chunk)

        return Small()

    monkeypatch.setattr(Path, "open", open_on_a_small_disk)
    with pytest.raises(DiskFullError, match=r"no room left for a\.tar .*\(1,441,792 bytes are there"):
        download(remote(server, tmp_path))
    monkeypatch.setattr(Path, "open", real_open)
    download(remote(server, tmp_path, checksum=MD5))
    assert server.requests[-1] == ("/a.tar", "bytes=1441792-")


def test_nobody_there_is_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RETRY_WAIT_S", 0.0)
    with pytest.raises(InterruptedTransferError, match=r"the last said: Failed to establish .*; run again"):
        download(RemoteFile("http://127.0.0.1:9/a.tar", tmp_path / "a.tar"))


def test_sizes_are_asked_where_the_server_tells_them(server: Server) -> None:
    assert remote_size(f"{server.url}/a.tar") == len(CONTENT)
    server.fail_with = [503]
    assert remote_size(f"{server.url}/a.tar") == len(CONTENT)
    with pytest.raises(RefusedTransferError):
        remote_size(f"{server.url}/none")
    server.has_head = False
    assert remote_size(f"{server.url}/a.tar") is None


def test_json_answers(server: Server) -> None:
    server.files |= {"/yes": b'{"files": []}', "/no": b"<html>"}
    assert fetch_json(f"{server.url}/yes") == {"files": []}
    with pytest.raises(WrongContentError, match="did not answer with JSON"):
        fetch_json(f"{server.url}/no")
    server.fail_with = [500] * ATTEMPTS
    with pytest.raises(InterruptedTransferError, match="HTTP 500"):
        fetch_json(f"{server.url}/yes")


@pytest.mark.parametrize("hexdigest", ["", "abc", "Z" * 32, "A" * 32])
def test_a_checksum_must_be_one(hexdigest: str) -> None:
    with pytest.raises(ValueError, match="is no md5 checksum"):
        Checksum("md5", hexdigest)
