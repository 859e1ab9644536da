"""The sync score of a dubbed video: LSE by a judge, on the face that was dubbed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.choices import JudgeName
from pipeline.core.errors import DataError
from pipeline.dubbing.summary import DubbedFace, DubSummary
from pipeline.faces.crops import Cropper, context_boxes
from pipeline.faces.detector import (
    Detection,
    FaceDetector,
    box_iou,
    detect_every,
    detectors_by_zoom,
    larger_detectors,
)
from pipeline.faces.gaps import GapDetector, detect_in_gaps
from pipeline.faces.smooth import smooth_faces
from pipeline.faces.track import MIN_LINK_IOU, FaceTrack, link_detections
from pipeline.faces.turns import turns_of
from pipeline.features.alignment import FPS, SAMPLE_RATE_HZ, num_samples_of
from pipeline.features.samples import float_to_int16
from pipeline.inference.lse_evaluator import Evaluator
from pipeline.media.audio import mono_blocks, rms_of, samples_between
from pipeline.media.file import MediaFile
from pipeline.metrics.lse import DROPPED_WINDOWS, EVALUATOR_INPUT_PX, VSHIFT_FRAMES, lse_scores
from pipeline.params import PreprocessParams

DUB_JUDGE: JudgeName = "judge-1"
MAX_SCORED_S = 20.0
"""Longest part of a face's appearance that is scored, from its start. Limits the frames and the sound in memory.

Video and sound before it are decoded, too, and not kept.
"""
_MIN_FRAMES = 2 * VSHIFT_FRAMES + 1 + DROPPED_WINDOWS
"""With fewer frames than offsets are searched, LSE-C mostly measures the zero vectors beyond the ends."""


@dataclass(frozen=True, kw_only=True)
class DubScore:
    """LSE of one face. ``offset_frames``: at 25 fps, positive if the audio leads the video."""

    lse_c: float
    lse_d: float
    offset_frames: int

    @property
    def found_offset(self) -> int | None:
        """``offset_frames``, or None at the border of the search: the true offset may be larger, or there is none."""
        return self.offset_frames if abs(self.offset_frames) < VSHIFT_FRAMES else None


def score_dub(summary: DubSummary, evaluator: Evaluator, params: PreprocessParams) -> DubScore:
    """Score the face with the most generated frames, during at most ``MAX_SCORED_S``.

    Raises DataError, with the reason, if the video cannot be scored: the face is absent, turned or shown too briefly,
    or there is no sound.
    """
    if not summary.faces:
        raise DataError("no face was dubbed for 0.2 s or longer")
    face = max(summary.faces, key=lambda face: face.num_frames)
    with MediaFile(summary.path) as video:
        start, track = _find_track(video, face, params)
        num_frames = len(track.boxes)
        sound = mono_blocks(video.sound(), SAMPLE_RATE_HZ)
        samples = samples_between(sound, num_samples_of(start), num_samples_of(start + num_frames))
        if not rms_of(samples) >= params.min_audio_rms:
            raise DataError("the sound is silent where the face is dubbed")
        cut = Cropper(context_boxes(smooth_faces(track, params.smooth_frames)), EVALUATOR_INPUT_PX)
        context = np.stack([cut(image, index) for index, image in enumerate(_images(video, start, num_frames))])
    score = lse_scores(*evaluator(context, float_to_int16(samples)))
    if score.is_short:
        raise _too_short(num_frames)
    return DubScore(lse_c=float(score.lse_c), lse_d=float(score.lse_d), offset_frames=int(score.offset_frames))


def _find_track(video: MediaFile, face: DubbedFace, params: PreprocessParams) -> tuple[int, FaceTrack]:
    """First frame, and the longest track at the place of the dubbed face. Raises DataError if it cannot be scored."""
    start = round(face.start_s * FPS)
    num_frames = round(min(face.end_s - face.start_s, MAX_SCORED_S) * FPS)
    if num_frames < _MIN_FRAMES:
        raise _too_short(num_frames)
    display, square = video.display, video.display.square_size
    box = np.array(face.box_px) * np.tile(np.array(square) / (display.width, display.height), 2)
    size = params.detector_score, params.detector_max_px, max(square)
    detectors: list[FaceDetector] = [*detectors_by_zoom(*size), *map(GapDetector, larger_detectors(*size))]
    found: list[list[Detection] | None] = []
    best: FaceTrack | None = None
    for detector in detectors:
        images = _images(video, start, num_frames)
        if isinstance(detector, GapDetector):
            found = detect_in_gaps(detector, images, found, box)
        else:
            found = detect_every(detector, images, params.detect_every)
        for track in link_detections(found, params.max_gap_frames, params.detect_every):
            is_there = box_iou(np.nanmedian(track.boxes, axis=0), box) >= MIN_LINK_IOU
            if is_there and (best is None or _length(track) > _length(best)):
                best = track
        if best is not None and _length(best) >= num_frames - params.detect_every:
            break
    if best is None:
        raise DataError("the dubbed face is not detected in the output")
    if turns_of(np.nanmedian(best.landmarks, axis=0)):
        raise DataError("the dubbed face is on its side or upside down")
    if _length(best) < _MIN_FRAMES:
        raise _too_short(_length(best))
    return start + best.span[0], best.part(*best.span)


def _length(track: FaceTrack) -> int:
    return track.span[1] - track.span[0]


def _too_short(num_frames: int) -> DataError:
    return DataError(
        f"the dubbed face is shown for {num_frames / FPS:.2f} s without a break; a score needs at "
        f"least {_MIN_FRAMES / FPS:.2f} s"
    )


def _images(video: MediaFile, start: int, num_frames: int) -> Iterator[NDArray[np.uint8]]:
    """Frames at 25 fps in square pixels: uint8 [H, W, 3] BGR."""
    frames = itertools.islice(video.frames(FPS, square_pixels=True), start, start + num_frames)
    return (frame.image for frame in frames)
