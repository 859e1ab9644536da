from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.datasets.folder import list_folder_clips
from pipeline.params import FolderParams


def params(root: Path | None) -> FolderParams:
    return FolderParams.model_validate({"root": root, "val_fraction": 0.2, "test_fraction": 0.2})


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    names = ("a.mp4", "a.mov", "holiday/take 1.0.MKV", "holiday/b.webm", "holiday/deep/c.mpg")
    for name in (*names, ".cache/d.mp4", "notes.pdf", "holiday/._b.webm"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "holiday" / "b.txt").write_text("what was said")
    return tmp_path


def test_every_visible_video_becomes_a_clip(videos: Path) -> None:
    records = {r.clip_id: r for r in list_folder_clips(params(videos), seed=0)}
    assert sorted(records) == ["a.mov", "a.mp4", "holiday/b", "holiday/deep/c", "holiday/take 1.0"]
    assert records["holiday/b"].transcript == "what was said"
    assert [records[k].speaker for k in ("a.mov", "holiday/b", "holiday/deep/c")] == [
        "unknown",
        "holiday",
        "holiday/deep",
    ]
    assert sorted(r.split for r in records.values()) == ["test", "train", "train", "train", "val"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    for root in (None, tmp_path / "absent", tmp_path):
        with pytest.raises(ValueError, match=r"dataset\.folder\.root"):
            list_folder_clips(params(root), 0)
