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


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    wanted = remote(server, tmp_path / "new", size_bytes=len(CONTENT), checksum=MD5)
    download(wanted)
    download(wanted)
    assert wanted.path.read_bytes() == CONTENT
    assert server.requests == [("/a.tar", None)]
    assert names_in(tmp_path / "new") == ["a.tar"]


def test_dropped_connections_are_resumed_while_each_attempt_gets_new_bytes(server: Server, tmp_path: Path) -> None:
    server.break_after = [CHUNK] * (2 * ATTEMPTS)
    download(remote(server, tmp_path, checksum=MD5))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    starts = [requested for _, requested in server.requests]
    assert starts == [None, *(f"bytes={CHUNK * k}-" for k in range(1, 2 * ATTEMPTS + 1))]


def test_attempts_without_new_bytes_are_limited_and_the_partial_file_is_kept(server: Server, tmp_path: Path) -> None:
    server.break_after = [10 * CHUNK + 5, *[0] * ATTEMPTS]
    with pytest.raises(InterruptedTransferError, match=r"a\.tar: stopped after 5 attempts.* 655,360 bytes are kept"):
        download(remote(server, tmp_path, checksum=MD5))
    assert not (tmp_path / "a.tar").exists()
    download(remote(server, tmp_path, checksum=MD5))
    assert server.requests[-1] == ("/a.tar", "bytes=655360-")
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_progress_counts_every_byte_once(server: Server, tmp_path: Path) -> None:
    server.break_after = [10 * CHUNK + 5, *[0] * ATTEMPTS]
    calls: list[tuple[int, bool]] = []
    with pytest.raises(InterruptedTransferError):
        download(remote(server, tmp_path), on_bytes=lambda count, fresh: calls.append((count, fresh)))
    assert sum(count for count, _ in calls) == 10 * CHUNK
    calls.clear()
    download(remote(server, tmp_path), on_bytes=lambda count, fresh: calls.append((count, fresh)))
    assert calls[0] == (10 * CHUNK, False)
    assert sum(count for count, fresh in calls if fresh) == len(CONTENT) - 10 * CHUNK


def test_a_file_that_changed_on_the_server_is_downloaded_from_the_start(server: Server, tmp_path: Path) -> None:
    server.break_after = [10 * CHUNK + 5, *[0] * ATTEMPTS]
    with pytest.raises(InterruptedTransferError):
        download(remote(server, tmp_path))
    server.files["/a.tar"], server.etag = CONTENT[::-1], '"v2"'
    counts: list[int] = []
    download(remote(server, tmp_path), on_bytes=lambda count, _: counts.append(count))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT[::-1]
    assert sum(counts) == len(CONTENT)


def test_without_a_version_nothing_is_resumed(server: Server, tmp_path: Path) -> None:
    server.etag, server.break_after = None, [10 * CHUNK]
    download(remote(server, tmp_path))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert server.requests == [("/a.tar", None)] * 2


def test_the_date_is_used_instead_of_a_weak_etag(server: Server, tmp_path: Path) -> None:
    server.etag, server.last_modified = 'W/"v1"', "Tue, 02 Jan 2024 03:04:05 GMT"
    server.break_after = [10 * CHUNK]
    fresh: list[int] = []
    download(remote(server, tmp_path), on_bytes=lambda count, is_fresh: fresh.append(count * is_fresh))
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert sum(fresh) == len(CONTENT)  # no byte was downloaded twice


def test_a_file_with_wrong_content_is_deleted(server: Server, tmp_path: Path) -> None:
    wanted = remote(server, tmp_path, content_problem=lambda path: f"has {path.stat().st_size} bytes of noise")
    with pytest.raises(WrongContentError, match=f"a.tar has {len(CONTENT)} bytes of noise; it was deleted"):
        download(wanted)
    assert names_in(tmp_path) == []
    download(remote(server, tmp_path, content_problem=lambda path: ""))
    assert names_in(tmp_path) == ["a.tar"]


def test_a_file_with_a_wrong_checksum_is_deleted(server: Server, tmp_path: Path) -> None:
    server.files["/a.tar"] = CONTENT[:-1] + b"!"
    with pytest.raises(WrongContentError, match=rf"has md5 [0-9a-f]{{32}}, not {MD5.hexdigest}") as caught:
        download(remote(server, tmp_path, checksum=MD5))
    assert f"{server.url}/a.tar" in str(caught.value)
    assert names_in(tmp_path) == []
    with pytest.raises(WrongContentError, match="has 2,048,000 bytes, not 5"):
        download(remote(server, tmp_path, size_bytes=5))


def test_an_existing_file_with_a_wrong_checksum_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"mine")
    with pytest.raises(WrongContentError, match=r"a\.tar has md5 .* delete it"):
        download(remote(server, tmp_path, checksum=MD5))
    assert (tmp_path / "a.tar").read_bytes() == b"mine"
    assert server.requests == []


def test_retries_wait_as_long_as_the_server_asks_for(
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
    [("none", 404, "correct it there"), ("secret.tar", 403, "ask its owner for access")],
)
def test_a_refusal_is_not_retried(server: Server, tmp_path: Path, path: str, status: int, advice: str) -> None:
    server.files["/secret.tar"] = b"x"
    server.forbidden.add("/secret.tar")
    with pytest.raises(RefusedTransferError, match=advice) as caught:
        download(remote(server, tmp_path, path))
    assert caught.value.status == status
    assert len(server.requests) == 1
    assert names_in(tmp_path) == []


def test_a_password_is_sent_and_never_logged(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NETRC", "/dev/null")
    server.password_of = {"anna": SECRET}
    with pytest.raises(RefusedTransferError, match=r"requires a user name .*, and none was found; .* ~/\.netrc"):
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


def test_the_password_may_come_from_netrc(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login anna password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.password_of = {"anna": "hunter2"}
    download(remote(server, tmp_path / "out"))
    assert (tmp_path / "out" / "a.tar").is_file()


def test_the_password_is_not_sent_to_another_host_after_a_redirect(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", "/dev/null")
    with serving() as other:
        other.files["/a.tar"] = CONTENT
        server.moved["/a.tar"] = f"{other.url.replace('127.0.0.1', 'localhost')}/a.tar"
        download(remote(server, tmp_path), Credentials("anna", SECRET))
        assert server.authorizations[0] is not None
        assert other.authorizations == [None]


def test_a_full_disk_is_an_error_and_the_partial_file_is_kept(
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
    with pytest.raises(DiskFullError, match=r"is full; a\.tar cannot be downloaded \(1,441,792 bytes are done"):
        download(remote(server, tmp_path))
    monkeypatch.setattr(Path, "open", real_open)
    download(remote(server, tmp_path, checksum=MD5))
    assert server.requests[-1] == ("/a.tar", "bytes=1441792-")


def test_a_refused_connection_is_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RETRY_WAIT_S", 0.0)
    with pytest.raises(InterruptedTransferError, match=r"last error: Failed to establish .*; run again"):
        download(RemoteFile("http://127.0.0.1:9/a.tar", tmp_path / "a.tar"))


def test_sizes_that_the_server_reports(server: Server) -> None:
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
    with pytest.raises(WrongContentError, match="did not return JSON"):
        fetch_json(f"{server.url}/no")
    server.fail_with = [500] * ATTEMPTS
    with pytest.raises(InterruptedTransferError, match="HTTP 500"):
        fetch_json(f"{server.url}/yes")


@pytest.mark.parametrize("hexdigest", ["", "abc", "Z" * 32, "A" * 32])
def test_a_checksum_must_have_the_form_of_its_algorithm(hexdigest: str) -> None:
    with pytest.raises(ValueError, match="is not a valid md5 checksum"):
        Checksum("md5", hexdigest)
