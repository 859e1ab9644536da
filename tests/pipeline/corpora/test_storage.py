from __future__ import annotations

import errno
import hashlib
import pickle
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from pipeline.core.errors import UserError, exit_code_of
from pipeline.corpora import storage
from pipeline.corpora.storage import (
    AccessDeniedError,
    NoDriverError,
    OutageError,
    RemoteFolder,
    local_file,
    local_path,
    require_drivers,
)
from pipeline.media.errors import MissingMediaError
from tests.support.loopback import Server, serving

ROOT = Path("/checkout")


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    storage = fsspec.filesystem("memory")
    storage.store.clear()
    yield storage
    storage.store.clear()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(storage.time, "sleep", slept.append)
    return slept


class Flaky(MemoryFileSystem):
    """Raises each entry of ``failures`` once, then works."""

    protocol = "flaky"
    cachable = False
    failures: list[Exception] = []  # noqa: RUF012  # a class attribute, because fsspec creates the instances

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("flaky://"))

    def get_file(self, rpath: str, lpath: str, **kwargs: object) -> None:
        if self.failures:
            Path(lpath).write_bytes(b"half")
            raise self.failures.pop(0)
        super().get_file(rpath, lpath, **kwargs)


@pytest.fixture
def flaky(memory: MemoryFileSystem) -> Iterator[type[Flaky]]:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    memory.pipe_file("/clips/a.mp4", b"a clip")
    yield Flaky
    Flaky.failures.clear()
    del _registry["flaky"]


def test_paths_on_disk_are_not_copied(tmp_path: Path) -> None:
    assert local_path("data/a.mp4", ROOT) == ROOT / "data/a.mp4"
    assert local_path("/videos/a.mp4", ROOT) == Path("/videos/a.mp4")
    assert local_path("file:///videos/a b%20.mp4", ROOT) == Path("/videos/a b%20.mp4")
    assert local_path("take 1: the end.mp4", ROOT) == ROOT / "take 1: the end.mp4"
    for url in ("s3://bucket/a.mp4", "http://host/a.mp4", "memory://a.mp4", "simplecache::s3://bucket/a.mp4"):
        assert local_path(url, ROOT) is None
    (tmp_path / "a.mp4").write_bytes(b"a clip")
    for path in ("a.mp4", f"{tmp_path}/a.mp4", f"file://{tmp_path}/a.mp4"):
        with local_file(path, tmp_path) as file:
            assert file == tmp_path / "a.mp4"
    assert (tmp_path / "a.mp4").exists()
    with local_file("gone.mp4", tmp_path) as file:
        assert not file.exists()


def test_a_remote_file_has_its_name_and_is_deleted_after_use(memory, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    memory.pipe_file("/clips/take 1.mp4", b"a clip")
    with local_file("memory://clips/take 1.mp4", ROOT) as file:
        assert (file.name, file.read_bytes()) == ("take 1.mp4", b"a clip")
        assert file.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), local_file("memory://clips/take 1.mp4", ROOT):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/clips/a.mp4?signature=secret#t=1", "a.mp4"),
        ("s3://bucket/what?.mp4", "what?.mp4"),
        ("simplecache::s3://bucket/clips/a.mp4", "a.mp4"),
        ("zip://clips/a.mp4::s3://bucket/all.zip", "a.mp4"),
        ("s3://bucket/" + "é" * 300 + ".mp4", "é" * 56 + ".mp4"),
    ],
)
def test_names_of_remote_files(url: str, name: str) -> None:
    assert storage._name_of(url) == name
    assert len(name.encode()) < 255


@pytest.mark.parametrize("url", ["memory://clips/gone.mp4", "memory://clips", "zip://a.mp4::memory://gone.zip"])
def test_a_missing_object_is_requested_once(url: str, memory, pauses) -> None:
    memory.pipe_file("/clips/a.mp4", b"a clip")
    with pytest.raises(MissingMediaError), local_file(url, ROOT):
        pass
    assert pauses == []


def test_temporary_failures_of_storage_are_retried(flaky, pauses, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    flaky.failures += [TimeoutError("slow down"), RuntimeError("of its own kind")]
    with local_file("flaky://clips/a.mp4", ROOT) as file:
        assert file.read_bytes() == b"a clip"
    assert pauses == [1.0, 5.0]
    flaky.failures += [ConnectionResetError("gone")] * 3
    expected = r"flaky://clips/a\.mp4 cannot be fetched: ConnectionResetError: gone"
    with pytest.raises(OutageError, match=expected) as caught, local_file("flaky://clips/a.mp4", ROOT):
        pass
    assert flaky.failures == []
    assert list(tmp_path.iterdir()) == []
    again = pickle.loads(pickle.dumps(caught.value))  # Ray pickles errors of workers
    assert (type(again), str(again)) == (OutageError, str(caught.value))


class NoCredentialsError(Exception):
    """As botocore's error of this name."""


@pytest.mark.parametrize("failure", [PermissionError("Forbidden"), NoCredentialsError("Unable to locate credentials")])
def test_refused_credentials_are_not_tried_again(flaky, pauses, failure: Exception) -> None:
    flaky.failures += [failure]
    with pytest.raises(AccessDeniedError, match="set the credentials"), local_file("flaky://clips/a.mp4", ROOT):
        pass
    assert pauses == []


def test_a_full_disk_is_no_outage(flaky, pauses) -> None:
    flaky.failures += [OSError(errno.ENOSPC, "No space left on device", "/tmp/a.mp4")]
    with pytest.raises(OSError, match="No space left on device") as caught, local_file("flaky://clips/a.mp4", ROOT):
        pass
    assert exit_code_of(caught.value) == UserError.exit_code and pauses == []


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        server.files["/a.mp4"] = b"a clip" * 50_000
        yield server


def test_a_file_is_read_over_http(server: Server, pauses) -> None:
    server.break_after = [1000]
    server.fail_with = [503]
    with local_file(f"{server.url}/a.mp4", ROOT) as file:
        assert file.read_bytes() == server.files["/a.mp4"]
    assert len(pauses) == 2  # a 503, then a truncated answer
    with pytest.raises(MissingMediaError), local_file(f"{server.url}/gone.mp4", ROOT):
        pass
    server.forbidden.add("/a.mp4")
    pauses.clear()
    with pytest.raises(AccessDeniedError, match="403"), local_file(f"{server.url}/a.mp4", ROOT):
        pass
    assert pauses == []


def test_a_file_is_read_from_s3(server: Server, pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading from S3 is HTTP GET; credentials and the endpoint come from the environment."""
    pytest.importorskip("s3fs", reason="s3fs is missing; run pip install 'lipsmith[s3]'")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-the-environment")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.files["/bucket/a.mp4"] = server.files["/a.mp4"]
    require_drivers(["s3://bucket/a.mp4"])
    with local_file("s3://bucket/a.mp4", ROOT) as file:
        assert (file.name, file.read_bytes()) == ("a.mp4", server.files["/a.mp4"])
    assert "of-the-environment" in (server.authorizations[-1] or "")
    with pytest.raises(MissingMediaError), local_file("s3://bucket/gone.mp4", ROOT):
        pass
    server.forbidden.add("/bucket/a.mp4")
    with pytest.raises(AccessDeniedError, match="PermissionError"), local_file("s3://bucket/a.mp4", ROOT):
        pass


def test_a_refused_connection_is_an_outage(pauses) -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(OutageError, match="ClientConnector"), local_file(f"{url}/a.mp4", ROOT):
        pass


def test_a_missing_driver_names_what_to_install(monkeypatch: pytest.MonkeyPatch, pauses) -> None:
    for protocol, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        monkeypatch.delitem(_registry, protocol, raising=False)
        monkeypatch.setitem(sys.modules, package, None)
    require_drivers(["a.mp4", "/b.mp4", "file:///c.mp4", "memory://d.mp4"])
    for read in (lambda url: require_drivers(["a.mp4", url]), lambda url: local_file(url, ROOT).__enter__()):
        with pytest.raises(NoDriverError, match=r"s3://.*pip install 'lipsmith\[s3\]'"):
            read("s3://bucket/a.mp4")
        with pytest.raises(NoDriverError, match=r"gs://.*gcsfs"):
            read("gs://bucket/a.mp4")
        with pytest.raises(NoDriverError, match=r"nosuch://.*not known"):
            read("nosuch://a.mp4")
    with pytest.raises(NoDriverError, match="s3://"):
        require_drivers(["simplecache::s3://bucket/a.mp4"])
    assert pauses == []


def test_a_remote_folder_lists_and_reads_its_objects(memory: MemoryFileSystem, pauses: list[float]) -> None:
    memory.pipe_file("/bucket/a/1.mp4", b"one")
    memory.pipe_file("/bucket/2.mp4", b"second")
    memory.pipe_file("/bucket-of-others/3.mp4", b"third")
    folder = RemoteFolder("memory://bucket/")
    assert folder.sizes() == {"a/1.mp4": 3, "2.mp4": 6}
    assert folder.url_of("a/1.mp4") == "memory://bucket/a/1.mp4"
    assert folder.read("2.mp4") == b"second"
    assert folder.sha256("2.mp4") == hashlib.sha256(b"second").hexdigest()
    assert RemoteFolder("memory://nothing").sizes() == {}
    with pytest.raises(MissingMediaError, match=r"/gone\.mp4: no such object"):
        folder.sha256("gone.mp4")
    assert pauses == []


def test_sizes_that_a_listing_omits_are_requested(memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe_file("/bucket/1.mp4", b"one")
    monkeypatch.setattr(MemoryFileSystem, "find", lambda self, path, detail: {"/bucket/1.mp4": {"size": None}})
    assert RemoteFolder("memory://bucket").sizes() == {"1.mp4": 3}
    monkeypatch.setattr(MemoryFileSystem, "info", lambda self, path: {"size": None})
    with pytest.raises(UserError, match=r"does not report the size of /bucket/1\.mp4"):
        RemoteFolder("memory://bucket").sizes()


def test_temporary_failures_of_a_remote_folder_are_retried(
    flaky: type[Flaky], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RemoteFolder("flaky://clips")
    failures: list[Exception] = [TimeoutError("slow down")]
    cat = Flaky.cat_file

    def fail_first(self: Flaky, path: str, **kwargs: object) -> bytes:
        if failures:
            raise failures.pop(0)
        return bytes(cat(self, path, **kwargs))

    monkeypatch.setattr(Flaky, "cat_file", fail_first)
    assert folder.read("a.mp4") == b"a clip"
    assert pauses == [1.0]
    failures += [ConnectionResetError("gone")] * 3
    with pytest.raises(OutageError, match=r"flaky://clips/a\.mp4 cannot be fetched: ConnectionResetError: gone"):
        folder.read("a.mp4")
