"""Training windows: matching audio, no overlap of target and reference, distance of the negatives, augmentation."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import UserError
from pipeline.inference.generator_kinds import LIPGAN, OURS, SPEECH2VID
from pipeline.training.augment import augment_faces, augment_mel, degrade_faces, mask_mel, move_faces
from pipeline.training.generator_windows import CutGeneratorWindow
from pipeline.training.windows import CutSyncWindows, WindowBatches, spread_starts


class CountingClip:
    """A clip in which all values of frame f are f, and all values of mel column k are k / 100 - 4."""

    def __init__(self, num_frames: int) -> None:
        self.num_frames = num_frames
        self.mel = np.repeat(np.arange(num_frames * 80 // 25 + 1, dtype=np.float32)[:, None] / 100 - 4, 80, axis=1)

    def crops(self, indices: Any) -> np.ndarray:
        values = np.asarray(indices, np.uint8)[:, None, None, None]
        return np.broadcast_to(values, (len(indices), 96, 96, 3)).copy()


@given(st.integers(1, 120), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_starts_are_inside_and_far_enough_apart(num_starts: int, num: int, gap: int, seed: int) -> None:
    starts = spread_starts(num_starts, num, gap, np.random.default_rng(seed))
    if starts is None:
        assert (num - 1) * gap > num_starts - 1
    else:
        assert len(starts) == num
        assert starts.min() >= 0
        assert starts.max() < num_starts
        assert (np.diff(starts) >= gap).all()


@given(st.integers(16, 100), st.integers(0, 2**32 - 1))
def test_the_reference_never_overlaps_the_target_and_the_mel_is_the_targets(num_frames: int, seed: int) -> None:
    item = CutGeneratorWindow(6, 3)(CountingClip(num_frames), np.random.default_rng(seed))  # type: ignore[arg-type]
    assert item is not None
    target, reference = int(item["target"][0, 0, 0, 0]), int(item["reference"][0, 0, 0, 0])
    assert abs(target - reference) >= 6
    first_columns = np.round((item["sync_mel"][0, :, 0, 0] + 4) * 100).astype(int)
    assert first_columns[0] == target * 80 // 25
    assert len(first_columns) == 4
    assert (np.abs(first_columns[1:] / 3.2 - target) > 5.5).all()  # 6 frames, minus the truncation to a column
    assert item["audio"].shape == (5, 80, 16)
    middle = round((item["audio"][2, 0, 8] + 4) * 100)
    assert middle == pytest.approx((target + 2 + 0.5) * 3.2, abs=1.6)


@given(st.sampled_from([10, 15, 25]), st.integers(0, 2**32 - 1))
def test_a_longer_window_has_one_sync_window_per_five_frames(num_frames: int, seed: int) -> None:
    cut = CutGeneratorWindow(6, 3, num_frames=num_frames)
    item = cut(CountingClip(75), np.random.default_rng(seed))  # type: ignore[arg-type]
    assert item is not None
    target, reference = item["target"][:, 0, 0, 0].astype(int), item["reference"][:, 0, 0, 0].astype(int)
    assert len(target) == len(reference) == len(item["audio"]) == num_frames
    assert not set(target) & set(reference)
    columns = np.round((item["sync_mel"][:, :, 0, 0] + 4) * 100).astype(int)
    assert columns.shape == (num_frames // 5, 4)
    assert columns[:, 0].tolist() == [start * 80 // 25 for start in target[::5]]
    distances = np.abs(
        columns[:, 1:, None] / 3.2 - target[::5]
    )  # distances of all other audio from all 5-frame windows
    assert (distances > 5.5).all()


def test_a_clip_that_is_too_short_for_a_reference_returns_none() -> None:
    assert CutGeneratorWindow(6)(CountingClip(9), np.random.default_rng(0)) is None  # type: ignore[arg-type]


def test_expert_windows_are_lower_halves() -> None:
    item = CutSyncWindows(4, 5)(CountingClip(75), np.random.default_rng(0))  # type: ignore[arg-type]
    assert item is not None
    assert item["faces"].shape == (4, 5, 48, 96, 3)
    assert item["mel"].shape == (4, 80, 16)


class PairedClip(CountingClip):
    """A clip in which all frames are equal and all mel columns are equal."""

    def __init__(self, num_frames: int) -> None:
        super().__init__(num_frames)
        self.mel = np.full_like(self.mel, -1.0)

    def crops(self, indices: Any) -> np.ndarray:
        picture = np.random.default_rng(0).integers(60, 180, (96, 96, 3), dtype=np.uint8)
        return np.repeat(picture[None], len(indices), axis=0)


def test_target_and_reference_share_an_augmentation_and_all_audio_shares_a_gain() -> None:
    clip: Any = PairedClip(40)
    plain = CutGeneratorWindow(6, 3)(clip, np.random.default_rng(7))
    item = CutGeneratorWindow(6, 3, is_augmented=True)(clip, np.random.default_rng(7))
    assert plain is not None and item is not None
    assert (item["target"] == item["target"][:1]).all()
    assert np.array_equal(item["target"], item["reference"])
    assert not np.array_equal(item["target"], plain["target"])
    assert {len(np.unique(item[name][..., 8])) for name in ("audio", "sync_mel")} == {1}
    assert item["audio"][2, 0, 8] == item["sync_mel"][0, 0, 0, 8] != -1.0
    assert {name: part.shape for name, part in item.items()} == {name: part.shape for name, part in plain.items()}


def test_all_kinds_of_generator_have_the_same_windows_and_their_own_audio_input() -> None:
    clip: Any = CountingClip(60)
    clip.audio = np.random.default_rng(2).integers(-9000, 9000, 60 * 640).astype(np.int16)
    items = [
        CutGeneratorWindow(6, 3, True, kind)(clip, np.random.default_rng(8)) for kind in (OURS, LIPGAN, SPEECH2VID)
    ]
    ours, lipgan, speech2vid = items
    assert ours is not None and lipgan is not None and speech2vid is not None
    for name in ("target", "reference", "sync_mel"):
        assert np.array_equal(ours[name], lipgan[name]) and np.array_equal(ours[name], speech2vid[name])
    assert [item["audio"].shape for item in (ours, lipgan, speech2vid)] == [(5, 80, 16), (5, 80, 27), (5, 12, 35)]
    quiet = CutGeneratorWindow(6, 3, False, SPEECH2VID)(clip, np.random.default_rng(8))
    assert quiet is not None and np.array_equal(
        quiet["audio"], speech2vid["audio"]
    )  # the MFCC do not depend on the loudness
    wider = lipgan["audio"][2, 0, 13] - ours["audio"][2, 0, 8]  # the middles of windows of 27 and 16 columns
    assert abs(wider) <= 0.0101


def test_augmentation_is_constant_over_a_windows_frames() -> None:
    frame = np.random.default_rng(3).integers(0, 255, (1, 1, 8, 8, 3), dtype=np.uint8)
    windows = np.repeat(np.repeat(frame, 5, axis=1), 6, axis=0)
    out = augment_faces(windows, np.random.default_rng(4))
    assert (out == out[:, :1]).all()
    assert len({window.tobytes() for window in out}) > 1


def test_the_motion_of_faces_is_small_and_constant_within_a_window() -> None:
    windows = np.zeros((20, 5, 96, 96, 3), np.uint8)
    windows[:, :, 44:52, 44:52] = 255  # a square in the middle
    out = move_faces(windows, np.random.default_rng(6))
    assert (out == out[:, :1]).all()
    places = [np.argwhere(window[0, ..., 0] > 127).mean(axis=0) - 47.5 for window in out]
    assert np.abs(places).max() < 4.6  # only the shift moves the centre; rotation and scaling do not
    assert np.std(places, axis=0).min() > 1
    assert np.array_equal(out, move_faces(windows, np.random.default_rng(6)))


def test_masks_and_noise_leave_most_of_the_mel_unchanged() -> None:
    mel = np.random.default_rng(0).uniform(-3, 3, (40, 80, 16)).astype(np.float32)
    out = mask_mel(mel, np.random.default_rng(7))
    assert out.dtype == np.float32 and np.abs(out).max() <= 4
    is_near = np.abs(out - mel) < 1.6  # four standard deviations of the noise
    assert 0.7 < is_near.mean() < 0.98
    bands = (~is_near).mean(axis=2) > 0.5
    assert 0 < bands.sum(axis=1).max() <= 16
    assert len({window.tobytes() for window in out}) == 40


def test_strong_augmentation_changes_more_than_light() -> None:
    clip: Any = PairedClip(60)
    light, strong = (CutSyncWindows(3, 5, augment)(clip, np.random.default_rng(1)) for augment in ("light", "strong"))
    assert light is not None and strong is not None
    assert light["faces"].shape == strong["faces"].shape == (3, 5, 48, 96, 3)
    assert np.ptp(light["mel"][0]) == 0 < np.ptp(strong["mel"][0])


def test_mel_gain_stays_in_range() -> None:
    mel = augment_mel(np.full((50, 80, 16), -4.0, np.float32), np.random.default_rng(5))
    assert mel.min() >= -4
    assert mel.max() <= -3.5


def test_too_few_clips_for_a_batch_are_an_error_with_their_number() -> None:
    class Stream:
        num_clips = 3

        def __iter__(self) -> Any:
            for key in itertools.cycle("abc"):
                yield SimpleNamespace(key=key, rng=None)

        def state_dict(self) -> dict[str, int]:
            return {}

    class CutName:
        def has_room(self, clip: Any) -> bool:
            return bool(clip.key != "c")

        def __call__(self, clip: Any, rng: Any) -> Any:
            return {"name": np.array(ord(clip.key))}

    stream: Any = Stream()
    batches = WindowBatches(stream, CutName(), 2)
    first, _ = next(iter(batches))
    batches.close()
    assert sorted(first["name"].tolist()) == [ord("a"), ord("b")]
    with pytest.raises(UserError, match=r"only 2 of 3 training clips are long enough .*, a_setting, or raise"):
        next(iter(WindowBatches(stream, CutName(), 3, length_settings="a_setting")))


def test_degradation_blurs_and_desaturates_with_constant_strength_within_a_window() -> None:
    sharp = np.zeros((6, 5, 48, 96, 3), np.uint8)
    sharp[..., ::4, :, 2] = 200  # red stripes
    out = degrade_faces(sharp, np.random.default_rng(1))
    contrast = out.astype(float).std(axis=(2, 3)).max(axis=-1)  # one value per frame
    assert np.ptp(contrast, axis=1).max() < 1.5  # equal within a window, except for the noise
    assert np.ptp(contrast, axis=0).max() > 20  # different between windows
    redness = (out[..., 2].astype(float) - out[..., 0]).mean(axis=(1, 2, 3))
    assert redness.min() < 0.7 * redness.max()
    assert np.array_equal(out, degrade_faces(sharp, np.random.default_rng(1)))
