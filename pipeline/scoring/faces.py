"""The face of a pair of videos, cut out of both at one place.

It is looked for in the real video only, so that a system gains nothing by moving the face or making it hard to find.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.alignment import FPS, num_samples_of
from pipeline.media.audio import decode_audio, float_to_int16
from pipeline.media.crops import CROP_PX, Cropper, context_boxes, crop_boxes
from pipeline.media.errors import NoVideoError
from pipeline.media.faces import detectors_by_zoom
from pipeline.media.video import MediaInfo, iter_frames, probe
from pipeline.params import PreprocessParams
from pipeline.preprocess.footage import Footage, survey
from pipeline.preprocess.pieces import Piece, Refusal, find_pieces
from pipeline.preprocess.reasons import RefusedError

MAX_SHAPE_CHANGE = 0.02
"""A generated video may have another size, but not another shape."""

_WHOLE_S = 1e6
"""No real video is so long: it is not cut into parts."""

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class PairedFaces:
    """``faces: float64 [N, 3]``, centre and half-size in the real video's pixels, from frame ``start`` on at 25 fps."""

    generated: Path
    reference: Path
    start: int
    faces: NDArray[np.float64]
    scale: float
    """Pixels of the generated video per pixel of the real one."""

    @classmethod
    def find(cls, generated: Path, reference: Path, params: PreprocessParams) -> PairedFaces:
        """The longest stretch of the real video with one face in every frame.

        Raises RefusedError as preprocessing does, MediaError for a file that cannot be read, ValueError for a
        generated video of another shape.
        """
        real, made = (_probe_video(path) for path in (reference, generated))
        scale = made.width / real.width
        if abs(made.height / real.height / scale - 1) > MAX_SHAPE_CHANGE:
            raise ValueError(
                f"the generated video is {made.width}x{made.height}, the real one {real.width}x{real.height}: "
                "pictures of another shape cannot be compared"
            )
        piece = _longest_piece(reference, params)
        return cls(generated, reference, piece.start, piece.faces, scale)

    def crops(self) -> tuple[Images, Images]:
        """Tight crops of the real and of the generated video, equally many: uint8 [N, 96, 96, 3] each."""
        boxes = crop_boxes(self.faces)
        real = self._cut(self.reference, boxes, CROP_PX)
        shown = self._cut(self.generated, boxes * self.scale, CROP_PX)
        num = min(len(real), len(shown))
        return real[:num], shown[:num]

    def context(self, size_px: int) -> Images:
        """Wide crops of the generated video: uint8 [N, size_px, size_px, 3]."""
        return self._cut(self.generated, context_boxes(self.faces) * self.scale, size_px)

    def heard(self) -> NDArray[np.int16]:
        """The generated video's own sound from the first crop on: int16 [n], 16 kHz."""
        samples = decode_audio(self.generated)[num_samples_of(self.start) :]
        return float_to_int16(samples[: num_samples_of(len(self.faces))])

    def _cut(self, path: Path, boxes: NDArray[np.float64], size_px: int) -> Images:
        cut = Cropper(boxes, size_px)
        frames: Iterator[Images] = (frame.image for frame in iter_frames(path, FPS))
        wanted = itertools.islice(frames, self.start, self.start + len(boxes))
        crops = [cut(frame, index) for index, frame in enumerate(wanted)]
        return np.stack(crops) if crops else np.empty((0, size_px, size_px, 3), np.uint8)


def _probe_video(path: Path) -> MediaInfo:
    info = probe(path)
    if not info.has_video:
        raise NoVideoError(path)
    return info


def _longest_piece(path: Path, params: PreprocessParams) -> Piece:
    footage = Footage(path)
    settings = params.model_copy(update={"choose_face": "largest", "max_clip_s": _WHOLE_S})
    longer_side = max(next(iter(footage)).shape[:2])
    best: Piece | None = None
    first: Refusal | None = None
    for detector in detectors_by_zoom(params.detector_score, params.detector_max_px, longer_side):
        found = survey(footage, detector, params.detect_every)
        silence = np.zeros(num_samples_of(len(found.faces)), np.float32)
        pieces = find_pieces(found, footage, silence, settings)
        for piece in pieces:
            if isinstance(piece, Refusal):
                first = first or piece
            elif best is None or piece.stop - piece.start > best.stop - best.start:
                best = piece
        if best is not None and best.stop - best.start == len(found.faces):
            break  # a closer look cannot find more
    if best is None:
        assert first is not None  # every shot gives a piece or a refusal
        raise RefusedError(first.reason, f"the real video: {first.detail}")
    return best
