"""Folders of files that can be computed again have a largest size."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.core.cache_folder import limit_size, mark_used


def write(path: Path, size: int, age_s: float) -> Path:
    path.write_bytes(bytes(size))
    os.utime(path, (1_000_000 - age_s,) * 2)
    return path


def test_the_least_recently_used_files_are_removed(tmp_path: Path) -> None:
    old, used, new = write(tmp_path / "a", 40, 30), write(tmp_path / "b", 40, 20), write(tmp_path / "c", 40, 10)
    limit_size(tmp_path, 120)
    assert old.exists() and used.exists() and new.exists()
    mark_used(old)
    limit_size(tmp_path, 80)
    assert old.exists() and not used.exists() and new.exists()


def test_the_last_used_file_stays_whatever_its_size(tmp_path: Path) -> None:
    write(tmp_path / "small", 1, 20)
    large = write(tmp_path / "large", 50, 10)
    limit_size(tmp_path, 10)
    assert list(tmp_path.iterdir()) == [large]


def test_a_folder_and_a_file_that_are_gone_are_no_error(tmp_path: Path) -> None:
    limit_size(tmp_path / "nowhere", 10)
    mark_used(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
