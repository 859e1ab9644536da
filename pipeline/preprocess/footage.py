"""A source video's frames at 25 fps, which can be read repeatedly, and face detection in one pass over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.choices import RolledFaces
from pipeline.faces.detector import Detection, FaceDetector, detect_every
from pipeline.faces.turns import turns_of
from pipeline.features.alignment import FPS
from pipeline.media.errors import MediaError
from pipeline.media.file import MediaFile
from pipeline.media.shots import ChangeMeter
from pipeline.preprocess.reasons import Reason, RejectedError

MAX_HELD_BYTES = 400_000_000
"""Largest size of the decoded frames that are cached. A longer video is decoded again for each pass."""


class Footage:
    """A video's frames, ``uint8 [H, W, 3]`` BGR at 25 fps, in bounded memory. Iteration raises RejectedError."""

    def __init__(self, media: MediaFile, *, square_pixels: bool = False) -> None:
        self._media, self._square_pixels = media, square_pixels
        self._held: list[NDArray[np.uint8]] = []
        self._are_held = self._are_too_large = False

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        if self._are_held:
            yield from self._held
            return
        self._held, num_bytes = [], 0
        try:
            for frame in self._media.frames(FPS, square_pixels=self._square_pixels):
                num_bytes += frame.image.nbytes
                if num_bytes > MAX_HELD_BYTES:
                    self._are_too_large = True
                    self._held = []
                elif not self._are_too_large:
                    self._held.append(frame.image)
                yield frame.image
        except MediaError as error:
            raise RejectedError(Reason.BROKEN_VIDEO, error.detail) from error
        self._are_held = not self._are_too_large


@dataclass(frozen=True)
class FaceScan:
    """Per frame: the faces found (None if not searched) and the change from the previous frame, in grey levels.

    ``turned`` counts faces that are left out because they are rolled by more than 45 degrees.
    """

    faces: list[list[Detection] | None]
    turned: list[int]
    changes: list[float]


def scan_faces(footage: Footage, detector: FaceDetector, every: int, rolled_faces: RolledFaces) -> FaceScan:
    """Detect faces in every n-th frame and the last, and measure the change of every frame, in one pass."""
    meter = ChangeMeter()
    found = detect_every(detector, meter.watch(footage), every)
    if rolled_faces == "align":
        return FaceScan(found, [0] * len(found), meter.changes)
    upright = [None if faces is None else [face for face in faces if not turns_of(face.landmarks)] for faces in found]
    turned = [len(faces or ()) - len(kept or ()) for faces, kept in zip(found, upright, strict=True)]
    return FaceScan(upright, turned, meter.changes)
