"""The pictures show the right frames of the right clips, and are reproducible byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ImageFont

from pipeline.core.layout import Layout
from pipeline.doctor.data import read_survey
from pipeline.doctor.distributions import plot_distributions
from pipeline.doctor.sheet import PICTURE_PX, draw_sheet, middle_frames, shortened, worst_lines
from pipeline.shards.read import ShardError
from tests.support.tiny_clips import MakeData


@pytest.fixture
def six_clips(make_data: MakeData) -> None:
    make_data(
        {f"a/{k}": ("train", {"face_px": 100.0 + k, "face_motion": 0.01 * k}) for k in range(5)}
        | {"b/1": ("test", {"face_px": 60.0, "face_missing": 0.5})}
    )


@pytest.mark.usefixtures("six_clips")
def test_lines_hold_the_worst_clips_of_every_split(layout: Layout) -> None:
    lines = {line.measure.name: line for line in worst_lines(read_survey(layout))}
    assert list(lines) == ["face_px", "face_missing", "face_motion", "brightness", "audio_db"]
    assert [row.clip_id for row, _ in lines["face_px"].clips] == ["b/1", "a/0", "a/1", "a/2"]
    assert lines["face_px"].median == 101.5
    assert [(row.clip_id, value) for row, value in lines["face_missing"].clips] == [("b/1", 50.0)]
    assert [row.clip_id for row, _ in lines["face_motion"].clips] == ["a/4", "a/3", "a/2", "b/1"]


@pytest.mark.usefixtures("six_clips")
def test_the_middle_frame_is_taken(layout: Layout) -> None:
    kept = read_survey(layout).kept
    pictures = middle_frames(layout.shards_dir, [row for row in kept if row.clip_id in ("a/3", "b/1")])
    assert set(pictures) == {"a/3", "b/1"}
    assert all(picture.shape == (16, 16, 3) for picture in pictures.values())
    assert all(abs(float(picture.mean()) - 80) < 2 for picture in pictures.values())  # 40, 60, 80, 100 or 120


@pytest.mark.slow
@pytest.mark.usefixtures("six_clips")
def test_equal_data_give_equal_pictures(layout: Layout, tmp_path: Path) -> None:
    survey = read_survey(layout)
    lines = worst_lines(survey)
    pictures = middle_frames(layout.shards_dir, [row for line in lines for row, _ in line.clips])
    pictures["b/1"] = np.full((16, 16, 3), (255, 0, 0), np.uint8)  # blue in BGR
    for name in ("first", "second"):
        draw_sheet(lines, pictures, len(survey.kept), tmp_path / name / "sheet.png")
        plot_distributions(survey, tmp_path / name / "distributions.png")
    for file in ("sheet.png", "distributions.png"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    sheet = np.asarray(PIL.Image.open(tmp_path / "first" / "sheet.png"))
    assert (sheet == (0, 0, 255)).all(axis=2).sum() == 3 * PICTURE_PX**2  # size, missing, motion


@pytest.mark.usefixtures("six_clips")
def test_a_damaged_shard_is_an_error(layout: Layout) -> None:
    path = layout.shards_dir / "train" / "train-00000.tar"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ShardError, match="dvc repro sync_filter"):
        middle_frames(layout.shards_dir, read_survey(layout).kept)


def test_long_ids_keep_their_end() -> None:
    font = ImageFont.load_default(14)
    assert shortened("s1/bbaf2n", font, 200) == "s1/bbaf2n"
    short = shortened("main/5535415699068794046/00001", font, 120)
    assert short.startswith("...")
    assert short.endswith("794046/00001")
    assert font.getlength(short) <= 120
