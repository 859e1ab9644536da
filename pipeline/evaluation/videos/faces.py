"""The face of a pair of videos, cut out of both at one place.

Its place is that in the real video, so that a system gains nothing by moving the face. The generated video must show
one there, through nearly all of the real one's length.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.faces.crops import CROP_PX, Cropper, boxes_within, context_boxes, crop_boxes
from pipeline.faces.detector import detectors_by_zoom
from pipeline.faces.track import MIN_LINK_IOU, box_iou
from pipeline.features.alignment import FPS, SAMPLE_RATE_HZ, num_samples_of
from pipeline.features.samples import float_to_int16
from pipeline.media.audio import rms_of
from pipeline.media.file import MediaFile
from pipeline.params import PreprocessParams
from pipeline.preprocess.footage import Footage, scan_faces
from pipeline.preprocess.reasons import Reason, RefusedError
from pipeline.preprocess.segments import Refusal, Segment, find_segments

MAX_SHAPE_CHANGE = 0.02
"""A generated video may have another size, but not another shape."""
MIN_LENGTH_SHARE = 0.9
"""A generated video may end a little before the real one: the last frames lack audio after them."""
MIN_SHOWN_SHARE = 0.5
"""Of the frames looked at, so many must show a face at the real one's place. YuNet finds it even where the mouth is
blurred or painted over."""

_WHOLE_S = 1e6
"""No real video is so long: it is not cut into parts."""

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class PairedFaces:
    """``faces: float64 [N, 3]``, centre and half-size in the real video's pixels, from frame ``start`` on at 25 fps.

    Both files must stay open while crops and sound are taken.
    """

    generated: MediaFile
    reference: MediaFile
    start: int
    faces: NDArray[np.float64]
    scale: float
    """Pixels of the generated video per pixel of the real one."""
    note: str = ""
    """What was done to a video before it could be compared; empty for nothing."""

    @classmethod
    def find(cls, generated: MediaFile, reference: MediaFile, params: PreprocessParams) -> PairedFaces:
        """The longest segment of the real video that preprocessing would keep.

        Raises RefusedError as preprocessing does, MediaError for a file that cannot be read, DataError for a generated
        video of another shape.
        """
        real, made = reference.display, generated.display
        scale = made.width / real.width
        if abs(made.height / real.height / scale - 1) > MAX_SHAPE_CHANGE:
            raise DataError(
                f"the generated video is {made.width}x{made.height}, the real one {real.width}x{real.height}: "
                "pictures of another shape cannot be compared"
            )
        segment = _longest_segment(reference, params)
        resampled = [
            f"the {which} video has {float(fps):.6g} fps, read at {FPS}"
            for which, media in (("generated", generated), ("real", reference))
            if (fps := media.fps) != FPS
        ]
        return cls(generated, reference, segment.start, segment.faces, scale, "; ".join(resampled))

    def crops(self) -> tuple[Images, Images]:
        """Tight crops of the real and of the generated video, equally many: uint8 [N, 96, 96, 3] each.

        Raises DataError for a generated video that ends too early.
        """
        boxes = crop_boxes(self.faces)
        real = self._cut(self.reference, boxes, CROP_PX)
        shown = self._cut(self.generated, boxes * self.scale, CROP_PX)
        if len(shown) < MIN_LENGTH_SHARE * len(real):
            raise DataError(
                f"the generated video ends too early: it has {len(shown)} of the {len(real)} frames (25 fps) in which "
                f"the real one shows its face, {MIN_LENGTH_SHARE:.0%} are needed"
            )
        return real[: len(shown)], shown[: len(real)]

    def context(self, params: PreprocessParams) -> Images:
        """Wide crops of the generated video: uint8 [N, context_px, context_px, 3].

        Raises RefusedError where fewer than half of the frames looked at have a face at the real one's place.
        """
        boxes = context_boxes(self.faces)
        context = self._cut(self.generated, boxes * self.scale, params.context_px)
        places = boxes_within(crop_boxes(self.faces), boxes, params.context_px)
        detector = next(detectors_by_zoom(params.detector_score, params.detector_max_px, params.context_px))
        looked = range(0, len(context), params.detect_every)
        num_shown = sum(
            any(box_iou(found.box, places[index]) >= MIN_LINK_IOU for found in detector.detect(context[index]))
            for index in looked
        )
        if num_shown < MIN_SHOWN_SHARE * len(looked):
            raise RefusedError(
                Reason.NO_FACE,
                f"the generated video: no face where the real one is in {len(looked) - num_shown} of {len(looked)} "
                f"frames looked at, more than {1 - MIN_SHOWN_SHARE:.0%}",
            )
        return context

    def speech(self, params: PreprocessParams) -> NDArray[np.int16]:
        """The generated video's own sound from the first crop on: int16 [n], 16 kHz.

        Raises RefusedError for silence, with which no mouth can be in sync, DataError for sound that ends too early.
        """
        num_wanted = num_samples_of(len(self.faces))
        samples = self.generated.samples()[num_samples_of(self.start) :][:num_wanted]
        if len(samples) < MIN_LENGTH_SHARE * num_wanted:
            raise DataError(
                f"the generated video's sound ends too early: it lasts {len(samples) / SAMPLE_RATE_HZ:.2f} of the "
                f"{num_wanted / SAMPLE_RATE_HZ:.2f} s in which the real one shows its face, {MIN_LENGTH_SHARE:.0%} are "
                "needed"
            )
        rms = rms_of(samples)
        if not rms >= params.min_audio_rms:
            raise RefusedError(
                Reason.SILENT_AUDIO,
                f"the generated video is silent: RMS {rms:.6f} (params.yaml: preprocess.min_audio_rms "
                f"{params.min_audio_rms})",
            )
        return float_to_int16(samples)

    def _cut(self, media: MediaFile, boxes: NDArray[np.float64], size_px: int) -> Images:
        cut = Cropper(boxes, size_px)
        frames: Iterator[Images] = (frame.image for frame in media.frames(FPS))
        wanted = itertools.islice(frames, self.start, self.start + len(boxes))
        crops = [cut(frame, index) for index, frame in enumerate(wanted)]
        return np.stack(crops) if crops else np.empty((0, size_px, size_px, 3), np.uint8)


def _longest_segment(media: MediaFile, params: PreprocessParams) -> Segment:
    footage = Footage(media)
    settings = params.model_copy(update={"choose_face": "largest", "max_clip_s": _WHOLE_S})
    longer_side = max(next(iter(footage)).shape[:2])
    best: Segment | None = None
    first: Refusal | None = None
    for detector in detectors_by_zoom(params.detector_score, params.detector_max_px, longer_side):
        scan = scan_faces(footage, detector, params.detect_every)
        silence = np.zeros(num_samples_of(len(scan.faces)), np.float32)
        for segment in find_segments(scan, footage, silence, settings):
            if isinstance(segment, Refusal):
                first = first or segment
            elif best is None or segment.stop - segment.start > best.stop - best.start:
                best = segment
        if best is not None and best.stop - best.start == len(scan.faces):
            break  # a closer look cannot find more
    if best is None:
        assert first is not None  # every shot gives a segment or a refusal
        raise RefusedError(first.reason, f"the real video: {first.detail}")
    return best
