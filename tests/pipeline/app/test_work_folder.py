"""Files of the web app are removed after their time, unless they are in use."""

from __future__ import annotations

import os
import shutil
import time

import pytest
from filelock import FileLock

from pipeline.app.work_folder import WorkFolder
from pipeline.core.errors import TemporaryError


def _upload(work, name, age_s):
    folder = work.path / name
    folder.mkdir()
    file = folder / "clip.mp4"
    file.write_bytes(b"x")
    for path in (file, folder):
        os.utime(path, (time.time() - age_s,) * 2)
    return file


def test_old_uploads_and_results_are_removed(work):
    old, young = _upload(work, "old", 101), _upload(work, "young", 50)
    assert work.remove_old() == 1
    assert not old.parent.exists() and young.exists()
    assert work.remove_old(now=time.time() + 60) == 1
    assert list(work.path.iterdir()) == []


def test_a_folder_is_as_young_as_its_youngest_file(work):
    old = _upload(work, "job", 500)
    (old.parent / "result.mp4").write_bytes(b"x")
    os.utime(old.parent, (time.time() - 500,) * 2)
    assert work.remove_old() == 0


def test_files_in_use_stay_and_then_their_time_begins_anew(work):
    file = _upload(work, "upload", 500)
    with work.using([file]):
        with work.using([file]):
            assert work.remove_old() == 0
        assert work.remove_old(now=time.time() + 1000) == 0
    assert work.remove_old() == 0
    assert work.remove_old(now=time.time() + 101) == 1


def test_the_folder_of_a_running_request_stays_and_then_its_time_begins_anew(work):
    with work.new_folder() as folder:
        os.utime(folder, (time.time() - 500,) * 2)
        assert work.remove_old() == 0
    assert work.remove_old() == 0
    assert work.remove_old(now=time.time() + 101) == 1


def test_an_entry_that_cannot_be_removed_does_not_keep_the_others(work, monkeypatch, caplog):
    files = [_upload(work, name, 101) for name in ("one", "two", "three")]
    remove = shutil.rmtree

    def fail_for_one(path, **options):
        if path.name == "two":
            raise PermissionError(13, "Permission denied", str(path))
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", fail_for_one)
    assert work.remove_old() == 2
    assert [file.exists() for file in files] == [False, True, False]
    assert "cannot be removed: [Errno 13]" in caplog.text


def test_only_files_of_the_folder_are_ever_removed(work, tmp_path):
    other = tmp_path / "other.mp4"
    other.write_bytes(b"x")
    with work.using([other, work.path]):
        work.remove_old(now=time.time() + 1000)
    assert other.exists() and work.path.exists()


def test_the_folder_is_private_and_gone_at_the_end(tmp_path):
    left_behind = tmp_path / "app" / "upload" / "clip.mp4"
    left_behind.parent.mkdir(parents=True)
    left_behind.write_bytes(b"x")
    work = WorkFolder(tmp_path / "app", keep_s=100)
    with work.opened():
        assert list(work.path.iterdir()) == []
        assert work.path.stat().st_mode & 0o077 == 0
        with work.new_folder() as one, work.new_folder() as other:
            assert one != other and one.parent == other.parent == work.path
    assert not work.path.exists()


def test_files_are_removed_without_a_request(tmp_path):
    work = WorkFolder(tmp_path / "app", keep_s=0.2)
    with work.opened():
        file = _upload(work, "upload", 1)
        deadline = time.monotonic() + 20
        while file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not file.parent.exists()


def test_two_apps_do_not_share_a_folder(tmp_path):
    work = WorkFolder(tmp_path / "app", keep_s=1)
    with FileLock(tmp_path / "app.lock"), pytest.raises(TemporaryError, match="held by"), work.opened():
        pass
