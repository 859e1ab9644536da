from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.datasets.folder import list_folder_clips
from pipeline.params import FolderParams
from pipeline.shards.key import sample_key


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
    records = {Path(r.path).relative_to(videos).as_posix(): r for r in list_folder_clips(params(videos), seed=0)}
    assert sorted(records) == ["a.mov", "a.mp4", "holiday/b.webm", "holiday/deep/c.mpg", "holiday/take 1.0.MKV"]
    assert records["holiday/b.webm"].clip_id == "holiday/b"
    assert records["holiday/take 1.0.MKV"].clip_id == "holiday/take 1.0"
    assert records["holiday/b.webm"].transcript == "what was said"
    speakers = [records[name].speaker for name in ("a.mov", "holiday/b.webm", "holiday/deep/c.mpg")]
    assert speakers == ["unknown", "holiday", "holiday/deep"]
    assert sorted(r.split for r in records.values()) == ["test", "train", "train", "train", "val"]


def test_ids_stay_apart_and_short_inside_tars(tmp_path: Path) -> None:
    names = ["take 1.mp4", "take_1.mp4", "take_1.mov", "other.mp4", "x" * 90 + ".mp4", "x" * 91 + ".mp4"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    ids = [r.clip_id for r in list_folder_clips(params(tmp_path), seed=0)]
    keys = {sample_key(clip_id) for clip_id in ids}
    assert len(keys) == len(names)
    assert "other" in keys


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    for root in (None, tmp_path / "absent", tmp_path):
        with pytest.raises(ValueError, match=r"dataset\.folder\.root"):
            list_folder_clips(params(root), 0)
