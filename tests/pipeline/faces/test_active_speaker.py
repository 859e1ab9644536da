from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.faces.active_speaker import (
    clearly_best,
    loudness_by_frame,
    mouth_motions,
    speaking_score,
    speaking_track,
)
from pipeline.faces.detector import YuNetDetector, detect_every
from pipeline.faces.track import FaceTrack, link_detections
from tests.support.media_readers import iter_frames, read_samples

LOUDNESS = 20 * np.sin(np.arange(75) / 6)


def test_a_mouth_that_follows_the_sound_scores_and_others_do_not() -> None:
    assert speaking_score(3 + LOUDNESS / 10, LOUDNESS) == pytest.approx(3, rel=0.1)
    assert speaking_score(3 + np.roll(LOUDNESS, 2) / 10, LOUDNESS) == pytest.approx(3, rel=0.1)
    assert speaking_score(np.full(75, 3.0), LOUDNESS) == 0
    assert speaking_score(3 - LOUDNESS / 10, LOUDNESS) < 0.3
    assert speaking_score(np.full(75, np.nan), LOUDNESS) == 0


def test_gaps_do_not_count() -> None:
    motion = 3 + LOUDNESS / 10
    motion[[5, 30, 31]] = np.nan
    assert speaking_score(motion, LOUDNESS) == pytest.approx(3, rel=0.1)


def test_loudness_is_in_db_and_as_long_as_the_picture() -> None:
    samples = np.concatenate([np.full(640, 0.1), np.zeros(640), np.full(320, 1.0)]).astype(np.float32)
    loudness = loudness_by_frame(samples, 4)
    assert loudness == pytest.approx([-20, -80, -3.01, -80], abs=0.01)


@pytest.mark.parametrize(
    ("scores", "best"),
    [([], None), ([0.5], 0), ([0.0], None), ([1.0, 2.0], 1), ([1.0, 1.9], None), ([0.0, -1.0], None), ([3, 1, 1], 0)],
)
def test_the_best_score_is_clearly_best(scores: list[float], best: int | None) -> None:
    assert clearly_best(scores, 2.0) == best


def _side_by_side(paths: tuple[Path, Path], *, is_right_still: bool) -> tuple[list[np.ndarray], list[FaceTrack]]:
    left, right = ([frame.image for frame in iter_frames(path, 25)][:74] for path in paths)
    if is_right_still:  # a listener: the moment before the sentence, back and forth
        beginning = right[:4]
        right = [beginning[min(k % 6, 6 - k % 6)] for k in range(74)]
    frames = [np.hstack([a, b]) for a, b in zip(left, right, strict=True)]
    tracks = link_detections(detect_every(YuNetDetector(0.6, 320), frames, 2), 12, 2)
    return frames, [track for track in tracks if track.is_seen.sum() > 30]


@pytest.mark.slow
def test_the_speaker_is_told_from_a_listener_on_real_clips(shared_data) -> None:
    paths = [shared_data / "wild" / f"{name}.mpg" for name in ("brbk7n", "lbax4n", "pwij3p", "swiz3n")]
    for speaker, listener in zip(paths, paths[1:] + paths[:1], strict=True):
        frames, tracks = _side_by_side((speaker, listener), is_right_still=True)
        assert len(tracks) == 2
        found = speaking_track(tracks, frames, read_samples(speaker))
        assert found is not None
        assert np.nanmean(tracks[found].boxes[:, 0]) < 360  # the left half


@pytest.mark.slow
def test_a_still_picture_does_not_speak(shared_data) -> None:
    path = shared_data / "wild" / "brbk7n.mpg"
    frames = [next(iter_frames(path, 25)).image] * 74
    tracks = link_detections(detect_every(YuNetDetector(0.6, 160), frames, 2), 12, 2)
    assert np.nanmax(mouth_motions(tracks, frames)) == 0
    assert speaking_track(tracks, frames, read_samples(path)) is None
