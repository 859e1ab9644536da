"""Real talking faces: a still head gives a still crop, and what a damaged recording shows is told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.faces.crops import CROP_PX, crop_boxes
from pipeline.faces.detector import detectors_by_zoom
from pipeline.features.alignment import FPS
from pipeline.media.file import MediaFile
from pipeline.params import PreprocessParams, load_params
from pipeline.preprocess.footage import Footage, scan_faces
from pipeline.preprocess.reasons import Reason
from pipeline.preprocess.segments import RejectedSegment, Segment, find_segments

WINDOW_FRAMES = 25
STILL_PX = 0.25
"""Standard deviation of a still head's place over a second, in px of the crop."""


@pytest.fixture(scope="module")
def real_params(repo_root: Path) -> PreprocessParams:
    return load_params(repo_root / "params.yaml").preprocess


def segments_of(
    path: Path, params: PreprocessParams
) -> tuple[list[NDArray[np.uint8]], list[Segment | RejectedSegment]]:
    with MediaFile(path) as media:
        footage = Footage(media)
        frames = list(footage)
        detector = next(iter(detectors_by_zoom(params.detector_score, params.detector_max_px, max(frames[0].shape))))
        scan = scan_faces(footage, detector, params.detect_every, params.rolled_faces)
        return frames, find_segments(scan, footage, media.samples(), params)


def head_motion(frames: Sequence[NDArray[np.uint8]], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where eyes and nose have moved since the first frame, by phase correlation, in px of the video: [N, 2].

    Nothing of this comes from the detector.
    """
    x0, y0, x1, y1 = np.maximum(box, 0).round().astype(int)
    upper = [cv2.cvtColor(f[y0 : y0 + (y1 - y0) * 11 // 20, x0:x1], cv2.COLOR_BGR2GRAY).astype(float) for f in frames]
    window = cv2.createHanningWindow(upper[0].shape[::-1], cv2.CV_64F)
    return np.array([cv2.phaseCorrelate(upper[0], image, window)[0] for image in upper])


def test_a_still_head_gives_a_still_crop(real_params: PreprocessParams, shared_data: Path) -> None:
    paths = [*sorted((shared_data / "grid" / "s1").glob("*.mpg"))[:10], *sorted((shared_data / "wild").glob("*.mpg"))]
    wander: list[NDArray[np.float64]] = []
    for path in paths:
        frames, segments = segments_of(path, real_params)
        segment = max((p for p in segments if isinstance(p, Segment)), key=lambda p: p.stop - p.start)
        boxes = crop_boxes(segment.faces, "square")
        to_crop_px = CROP_PX / float(np.median(boxes[:, 2] - boxes[:, 0]))
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2 * to_crop_px
        for start in range(0, len(boxes) - WINDOW_FRAMES, WINDOW_FRAMES // 5):
            shown = frames[segment.start + start :][:WINDOW_FRAMES]
            motion = head_motion(shown, boxes[start]) * to_crop_px
            if motion.std(axis=0).max() < STILL_PX:
                wander.append(centres[start : start + WINDOW_FRAMES].std(axis=0))
    assert len(wander) >= 20  # windows of a second, overlapping, among these clips
    assert float(np.max(wander)) < 0.5


def test_frames_without_their_key_frame_are_left_out(real_params: PreprocessParams, shared_data: Path) -> None:
    """The clip as published begins with 12 grey frames: its first key frame is missing. A cut follows, then a face."""
    frames, segments = segments_of(shared_data / "grid" / "s1" / "bbizzn.mpg", real_params)
    lost, kept = segments
    assert isinstance(lost, RejectedSegment) and lost.reason == Reason.NO_FACE
    assert isinstance(kept, Segment) and (lost.start, kept.start, kept.stop) == (0, lost.stop, len(frames))
    assert lost.stop / FPS < 0.5
