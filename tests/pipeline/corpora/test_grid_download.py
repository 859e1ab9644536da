from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import UserError
from pipeline.corpora.grid import list_grid_clips
from pipeline.corpora.grid_download import download_grid, speaker_files
from pipeline.corpora.verify import verify_grid
from pipeline.fetch import http
from pipeline.fetch.http import WrongContentError
from pipeline.params import GridParams
from tests.support.loopback import Server, serving

NAMES = ("bbaf2n", "bbaf3s", "lwwm2p")


def _zip_of(speaker: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in NAMES:
            archive.writestr(f"{speaker}/{name}.mpg", f"{speaker} {name}".encode() * 1000)
        archive.writestr(f"__MACOSX/{speaker}/._{NAMES[0]}.mpg", b"junk")
        archive.writestr(f"{speaker}/Thumbs.db", b"junk")
    return packed.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http, "RETRY_WAIT_S", 0.0)
    with serving() as server:
        entries = []
        for speaker in ("s10", "s1", "s2"):
            content = _zip_of(speaker)
            address = f"/api/records/7/files/{speaker}.zip/content"
            server.files[address] = content
            checksum = f"md5:{hashlib.md5(content).hexdigest()}"
            links = {"self": f"{server.url}{address}"}
            entries.append({"key": f"{speaker}.zip", "size": len(content), "checksum": checksum, "links": links})
        entries.append({"key": "audio_25k.zip", "size": 1, "checksum": "md5:" + "0" * 32, "links": {"self": "x"}})
        server.files["/api/records/7"] = json.dumps({"id": 7, "files": entries}).encode()
        yield server


def settings(server: Server, **changed: Any) -> GridParams:
    given = {
        "root": None,
        "url": f"{server.url}/api/records/7",
        "keep_archives": False,
        "speakers": (),
        "split_by": "speaker",
        "val_fraction": 0.3,
        "test_fraction": 0.3,
    }
    return GridParams(**{**given, **changed})


def test_the_records_speakers_become_clips(server: Server, tmp_path: Path) -> None:
    download_grid(settings(server), tmp_path, 2)
    records = list_grid_clips(settings(server, root=tmp_path), seed=3)
    assert [r.clip_id for r in records] == [f"{s}/{name}" for s in ("s1", "s2", "s10") for name in NAMES]
    assert {r.split for r in records} == {"train", "val", "test"}
    assert sorted(p.name for p in tmp_path.iterdir()) == [".archives", "s1", "s10", "s2"]
    assert not list((tmp_path / ".archives").glob("*.zip"))


def test_only_chosen_speakers_are_downloaded_and_later_ones_are_added(server: Server, tmp_path: Path) -> None:
    download_grid(settings(server, speakers=["s2"]), tmp_path, 2)
    assert [p.name for p in tmp_path.glob("s*")] == ["s2"]
    server.requests.clear()
    download_grid(settings(server, speakers=["s2", "s10"]), tmp_path, 2)
    assert [path for path, _ in server.requests] == ["/api/records/7/files/s10.zip/content"]
    server.requests.clear()
    download_grid(settings(server, speakers=["s2", "s10"]), tmp_path, 2)
    assert server.requests == []


def test_a_speaker_who_is_listed_twice_is_fetched_once(server: Server, tmp_path: Path) -> None:
    download_grid(settings(server, speakers=["s2", "s2"]), tmp_path, 2)
    assert [path for path, _ in server.requests] == ["/api/records/7", "/api/records/7/files/s2.zip/content"]
    assert len(list((tmp_path / "s2").iterdir())) == len(NAMES)


def test_a_deleted_folder_is_downloaded_again_and_single_deleted_files_log_a_warning(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    download_grid(settings(server, speakers=["s1", "s2"]), tmp_path, 2)
    shutil.rmtree(tmp_path / "s1")
    next((tmp_path / "s2").iterdir()).unlink()
    server.requests.clear()
    download_grid(settings(server, speakers=["s1", "s2"]), tmp_path, 2)
    assert [path for path, _ in server.requests] == ["/api/records/7/files/s1.zip/content"]
    assert len(list((tmp_path / "s1").iterdir())) == len(NAMES)
    assert f"s2 has {len(NAMES) - 1} of the {len(NAMES)} files that were unpacked; delete" in caplog.text
    with pytest.raises(
        UserError, match=r"has no folder s9; set dataset.grid.speakers in params.yaml to some of: s1, s2$"
    ):
        list_grid_clips(settings(server, root=tmp_path, speakers=["s9"]), seed=3)


def test_an_unknown_speaker_is_an_error(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no speaker s21; set .* to some of: s1, s2, s10"):
        download_grid(settings(server, speakers=["s1", "s21"]), tmp_path, 2)


def test_archives_are_compared_with_the_records_checksum(server: Server, tmp_path: Path) -> None:
    address = "/api/records/7/files/s1.zip/content"
    server.files[address] = server.files[address][:-1] + b"!"
    with pytest.raises(WrongContentError, match=r"has md5 .*, not"):
        download_grid(settings(server, speakers=["s1"]), tmp_path, 2)
    assert not (tmp_path / "s1").exists()


@pytest.mark.parametrize("record", [None, [], {}, {"files": [{"key": "s1.zip"}]}, {"files": [{"key": "data.csv"}]}])
def test_another_record_is_an_error(server: Server, tmp_path: Path, record: Any) -> None:
    with pytest.raises(WrongContentError, match=r"record"):
        speaker_files(record, tmp_path)
    server.files["/api/records/7"] = json.dumps(record).encode()
    with pytest.raises(WrongContentError, match=r"dataset\.grid\.url"):
        download_grid(settings(server), tmp_path, 2)
    assert not (tmp_path / ".archives" / "record.json").exists()


def test_verify_counts_each_speaker(server: Server, tmp_path: Path) -> None:
    download_grid(settings(server), tmp_path, 2)
    counts = verify_grid(tmp_path, [])
    assert [(c.name, c.listed, c.published, c.is_complete) for c in counts] == [
        (speaker, 3, 1000, False) for speaker in ("s1", "s2", "s10")
    ]
