"""The sync score of one face of a video by a judge: LSE-C and the offset."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from pipeline.core.choices import JudgeName
from pipeline.core.errors import DataError
from pipeline.core.layout import Layout
from pipeline.dubbing.choose import number_faces
from pipeline.dubbing.dub import DetectorsFor
from pipeline.dubbing.dubber import face_settings
from pipeline.dubbing.face_path import FollowSettings, FoundFaces, find_faces, finer
from pipeline.dubbing.paths import FacePath
from pipeline.dubbing.playback import Frame
from pipeline.faces.crops import Cropper, context_boxes
from pipeline.faces.detector import box_iou
from pipeline.faces.smooth import smooth_faces
from pipeline.faces.track import FaceTrack
from pipeline.faces.turns import turns_of
from pipeline.features.alignment import FPS, num_samples_of
from pipeline.features.samples import float_to_int16
from pipeline.inference.device import select_device
from pipeline.inference.lse_evaluator import Evaluator, load_judge
from pipeline.media.audio import rms_of
from pipeline.media.file import MediaFile
from pipeline.metrics.lse import EVALUATOR_INPUT_PX, lse_scores
from pipeline.params import load_params

JUDGE: JudgeName = "judge-1"
MAX_SCORED_S = 20.0
"""Length of the part of a face's appearance that is scored, s. It bounds time and memory."""


@dataclass(frozen=True, kw_only=True)
class SyncScore:
    """Sync of one face with the sound, as in `pipeline.metrics.lse.LseScore`."""

    lse_c: float
    """Higher is better. Comparable only with other scores of the same judge."""
    offset_frames: int
    """In frames at 25 fps; positive if the sound leads the mouth."""
    is_at_limit: bool
    """Whether the offset is the largest that was searched, so the true one is unknown."""
    num_frames: int
    """Number of frames at 25 fps that were scored."""


@dataclass(frozen=True)
class SyncJudge:
    """Scores faces of videos with a judge that is part of the package."""

    evaluator: Evaluator
    detectors_for: DetectorsFor
    follow: FollowSettings
    min_audio_rms: float

    @classmethod
    def load(cls, layout: Layout) -> Self:
        """The judge on the CPU, with the face settings of params.yaml."""
        rms = load_params(layout.params_path).preprocess.min_audio_rms
        return cls(load_judge(JUDGE, select_device("cpu")), *face_settings(layout), rms)

    def score(self, video: Path, box_px: tuple[int, int, int, int], start_s: float = 0.0) -> SyncScore:
        """Score the face of ``video`` that is at ``box_px`` from ``start_s`` on, with the sound of the video.

        Scores the longest uncut appearance of the face in the first `MAX_SCORED_S` from there. Raises DataError if it
        cannot be scored: there is no face, it is turned on its side, the part is too short, or it is silent.
        """
        first = round(start_s * FPS)
        with MediaFile(video) as media:

            def frames() -> Iterator[Frame]:
                images = (timed.image for timed in media.frames(FPS))
                return itertools.islice(images, first, first + round(MAX_SCORED_S * FPS))

            display = media.display
            detectors = finer(self.detectors_for(max(display.width, display.height)))
            path = _path_at(find_faces(frames, detectors, FPS, self.follow), box_px, video)
            if np.any(turns_of(path.landmarks[np.isfinite(path.boxes[:, 0])])):
                raise DataError(f"{video}: the face is turned on its side; {JUDGE} scores upright faces only")
            track = FaceTrack(path.boxes, path.landmarks, np.empty(0))
            cut = Cropper(context_boxes(smooth_faces(track, self.follow.smooth_frames)), EVALUATOR_INPUT_PX)
            shown = itertools.islice(frames(), path.start, path.stop)
            context = np.stack([cut(frame, index) for index, frame in enumerate(shown)])
            start = num_samples_of(first + path.start)
            samples = media.samples()[start : start + num_samples_of(len(context))]
        if rms_of(samples) < self.min_audio_rms:
            raise DataError(f"{video}: it is silent where the face is seen, so sync is not defined")
        score = lse_scores(*self.evaluator(context, float_to_int16(samples)))
        return SyncScore(
            lse_c=score.lse_c,
            offset_frames=score.offset_frames,
            is_at_limit=abs(score.offset_frames) == score.limit_frames,
            num_frames=len(context),
        )


def _path_at(found: FoundFaces, box_px: tuple[int, int, int, int], video: Path) -> FacePath:
    """The longest path of the face whose median box is the nearest to ``box_px``. Raises DataError if none overlaps."""
    wanted = np.array(box_px, np.float64)
    faces = sorted(number_faces(found), key=lambda face: -box_iou(np.array(face.box_px, np.float64), wanted))
    if not faces or box_iou(np.array(faces[0].box_px, np.float64), wanted) <= 0:
        raise DataError(f"{video}: the face is not detected where it was dubbed")
    return max((found.paths[index] for index in faces[0].paths), key=lambda path: path.num_seen)
