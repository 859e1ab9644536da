from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from pipeline.evaluation.protocol import Pair
from pipeline.evaluation.strips import (
    GAP_PX,
    LABEL_PX,
    NUM_STRIP_STILLS,
    PANEL_PX,
    backdrop,
    choose_strips,
    in_a_row,
    input_panel,
    make_take,
    upscale,
    write_strip,
    write_take,
)
from pipeline.shards.clip import Clip
from tests.support.media_readers import display_of, header_of, read_frames, read_samples, sound_format_of


def invert(crops: NDArray[np.uint8], mel: NDArray[np.float32]) -> NDArray[np.uint8]:
    return 255 - crops


def test_one_strip_per_speaker_before_any_second_one(clips: dict[str, Clip]) -> None:
    pairs = [Pair("a/2", "a/1"), Pair("a/1", "c/1"), Pair("c/1", "b/1"), Pair("b/1", "a/2")]
    chosen = [pair.video_id for pair in choose_strips(pairs, clips, 4)]
    assert chosen == ["a/2", "c/1", "b/1", "a/1"]
    assert choose_strips(pairs, clips, 2) == [pairs[0], pairs[2]]
    assert choose_strips(pairs, clips, 0) == []


def test_strip_is_a_playable_video_with_the_foreign_audio(clips: dict[str, Clip], tmp_path: Path) -> None:
    video, audio = clips["a/2"], clips["b/1"]
    path = tmp_path / "strip.mp4"
    write_strip(path, make_take("lstm_cbam", video, audio, invert), "same")
    header = header_of(path)
    assert (header.num_frames, header.fps, sound_format_of(path)[0]) == (16, 25, 16_000)
    frames = read_frames(path).astype(int)
    assert frames.shape[2] == 3 * PANEL_PX + 4 * GAP_PX
    top, side = slice(LABEL_PX + 100, LABEL_PX + 300), PANEL_PX + GAP_PX
    real, generated = (frames[:, top, GAP_PX + k * side + 80 : GAP_PX + k * side + 240] for k in (0, 2))
    assert np.abs(real + generated - 255).mean() < 12
    heard = read_samples(path)[: audio.num_samples]
    assert np.corrcoef(heard[:8000], audio.audio[:8000].astype(float))[0, 1] > 0.5


def test_stills_of_a_strip_are_its_frames(clips: dict[str, Clip], tmp_path: Path) -> None:
    path = tmp_path / "strip.mp4"
    write_strip(path, make_take("lstm_cbam", clips["a/2"], clips["b/1"], invert), "same")
    frames = read_frames(path)
    sheet = np.asarray(PIL.Image.open(path.with_suffix(".png")))[..., ::-1].astype(int)
    assert sheet.shape == (NUM_STRIP_STILLS * frames.shape[1], frames.shape[2], 3)
    chosen = np.concatenate([frames[index] for index in (4, 8, 11)])
    assert np.abs(sheet - chosen).mean() < 12


def test_a_bound_has_one_panel(clips: dict[str, Clip], tmp_path: Path) -> None:
    write_strip(tmp_path / "real.mp4", make_take("real", clips["a/1"], clips["a/1"], None), "same")
    assert display_of(tmp_path / "real.mp4").width == PANEL_PX + 2 * GAP_PX


def test_a_take_is_what_is_judged_and_nothing_else(clips: dict[str, Clip], tmp_path: Path) -> None:
    take = make_take("lstm_cbam", clips["a/2"], clips["b/1"], invert)
    path = tmp_path / "take.mp4"
    write_take(path, take)
    header, display = header_of(path), display_of(path)
    assert (display.width, display.height) == (PANEL_PX, PANEL_PX)
    assert (header.num_frames, sound_format_of(path)[0]) == (16, 16_000)
    expected = np.stack([upscale(image) for image in take.shown]).astype(int)
    assert np.abs(read_frames(path) - expected).mean() < 6
    assert take.caption == "voice of b/1: the words of b/1"
    assert make_take("real", clips["a/2"], clips["a/2"], None).caption == "its own voice: the words of a/2"


def test_input_panel_masks_the_lower_half_of_the_crop_and_shows_the_reference() -> None:
    context = np.full((160, 160, 3), 200, np.uint8)
    reference = np.full((96, 96, 3), 30, np.uint8)
    panel = input_panel(context, reference, np.array([60.0, 20.0, 140.0, 100.0]))
    assert (panel[120:200, 120:280] == 128).all()
    assert (panel[40:119, 120:280] == 200).all()
    assert (panel[PANEL_PX - 96 - 8 : PANEL_PX - 8, 8:104] == 30).all()


@pytest.mark.parametrize("caption", ["short", "many words " * 40])
def test_labels_and_caption_stay_clear_of_the_pictures(caption: str) -> None:
    background = backdrop(["real", "input", "generated: lstm_cbam"], caption)
    pictures: Any = [np.full((PANEL_PX, PANEL_PX, 3), 77, np.uint8)] * 3
    frame = in_a_row(background, pictures)
    assert (frame == 77).all(axis=-1).sum() == 3 * PANEL_PX**2
    for margin in (frame[:, :GAP_PX], frame[:, -GAP_PX:]):
        assert (margin == background[0, 0]).all()
    assert (frame[:LABEL_PX] != background[0, 0]).any() and (frame[LABEL_PX + PANEL_PX :] != background[0, 0]).any()
