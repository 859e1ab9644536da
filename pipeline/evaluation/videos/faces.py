"""Crops the face from a generated and a real video at the same position.

The position comes from the real video, so a system cannot improve its score by moving the face. The generated video
must show a face there for nearly the whole length of the real one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.core.choices import CropGeometry
from pipeline.core.errors import DataError
from pipeline.faces.crops import CROP_PX, Cropper, boxes_within, context_boxes, crop_boxes
from pipeline.faces.detector import box_iou, detectors_by_zoom
from pipeline.faces.track import MIN_LINK_IOU
from pipeline.features.alignment import FPS, SAMPLE_RATE_HZ, num_samples_of
from pipeline.features.samples import float_to_int16
from pipeline.media.audio import rms_of
from pipeline.media.file import MediaFile
from pipeline.metrics.lse import EVALUATOR_INPUT_PX
from pipeline.params import PreprocessParams
from pipeline.preprocess.footage import Footage, scan_faces
from pipeline.preprocess.reasons import Reason, RejectedError
from pipeline.preprocess.segments import RejectedSegment, Segment, find_segments

MAX_SHAPE_CHANGE = 0.02
"""Largest relative difference of the aspect ratios. The sizes may differ."""
MIN_LENGTH_SHARE = 0.9
"""Smallest length of the generated video relative to the real one. Generators may lack audio for the last frames."""
MIN_SHOWN_SHARE = 0.5
"""Smallest share of the searched frames with a face at the real one's position. YuNet also detects faces whose mouth is
blurred or painted over."""
MIN_EXCESS_S = 0.2
"""A generated video that is longer than the real one by more than this has a note, s."""

_WHOLE_S = 1e6
"""Exceeds the length of any real video, which prevents splitting into parts."""

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class PairedFaces:
    """A generated and a real video with the face positions of the real one.

    ``faces: float64 [N, 5]`` has rows of `smooth_faces` in square pixels of the real video, at 25 fps from the frame
    ``start``. Both files must stay open while crops and audio are read.
    """

    generated: MediaFile
    real: MediaFile
    start: int
    faces: NDArray[np.float64]
    scale: float
    """Square pixels of the generated video per square pixel of the real one."""
    note: str = ""
    """Conversions of the videos before the comparison, and what of them is not compared; empty if none."""

    @classmethod
    def find(cls, generated: MediaFile, real: MediaFile, params: PreprocessParams) -> PairedFaces:
        """Select the longest segment of the real video that preprocessing would keep.

        Raises RejectedError if there is none, MediaError for an unreadable file, DataError if the aspect ratios differ.
        """
        (made_width, made_height), (real_width, real_height) = generated.display.square_size, real.display.square_size
        scale = made_width / real_width
        if abs(made_height / real_height / scale - 1) > MAX_SHAPE_CHANGE:
            raise DataError(
                f"the generated video is {made_width}x{made_height}, the real one {real_width}x{real_height}: their "
                "aspect ratios must agree"
            )
        segment = _longest_segment(real, params)
        resampled = [
            f"the {which} video is resampled from {float(fps):.6g} to {FPS:g} fps"
            for which, media in (("generated", generated), ("real", real))
            if (fps := media.fps) != FPS
        ]
        notes = [*resampled, *_excess(generated, real, segment)]
        return cls(generated, real, segment.start, segment.faces, scale, "; ".join(notes))

    def of_real(self) -> PairedFaces:
        """The real video in place of the generated one, at the same positions."""
        return replace(self, generated=self.real, scale=1.0, note="")

    def crops(self, geometry: CropGeometry) -> tuple[Images, Images]:
        """Face crops of the real and the generated video, uint8 [N, 96, 96, 3] each, with equal N.

        Raises DataError if the generated video ends too early.
        """
        boxes = crop_boxes(self.faces, geometry)
        real = self._cut(self.real, boxes, CROP_PX)
        shown = self._cut(self.generated, boxes * self.scale, CROP_PX)
        if len(shown) < MIN_LENGTH_SHARE * len(real):
            raise DataError(
                f"the generated video ends too early: it has {len(shown)} of the {len(real)} frames (25 fps) with a "
                f"face in the real one; at least {MIN_LENGTH_SHARE:.0%} are required"
            )
        return real[: len(shown)], shown[: len(real)]

    def context(self, params: PreprocessParams) -> Images:
        """Context crops of the generated video at the evaluator's size: uint8 [N, 224, 224, 3].

        Those of preprocessing are smaller (``preprocess.context_px``), and enlarging them halves the sharpness.
        Raises RejectedError if less than half of the searched frames have a face at the real one's position.
        """
        boxes = context_boxes(self.faces)
        context = self._cut(self.generated, boxes * self.scale, EVALUATOR_INPUT_PX)
        places = boxes_within(crop_boxes(self.faces, "square"), boxes, EVALUATOR_INPUT_PX)
        detector = next(detectors_by_zoom(params.detector_score, params.detector_max_px, EVALUATOR_INPUT_PX))
        searched = range(0, len(context), params.detect_every)
        num_shown = sum(
            any(box_iou(found.box, places[index]) >= MIN_LINK_IOU for found in detector.detect(context[index]))
            for index in searched
        )
        if num_shown < MIN_SHOWN_SHARE * len(searched):
            raise RejectedError(
                Reason.NO_FACE,
                f"the generated video: no face at the position of the real one in {len(searched) - num_shown} of "
                f"{len(searched)} searched frames; at most {1 - MIN_SHOWN_SHARE:.0%} are allowed",
            )
        return context

    def speech(self, params: PreprocessParams) -> NDArray[np.int16]:
        """The generated video's audio from the first crop on: int16 [n], 16 kHz.

        Raises RejectedError for silence, for which sync is undefined, and DataError for audio that ends too early.
        """
        num_wanted = num_samples_of(len(self.faces))
        samples = self.generated.samples()[num_samples_of(self.start) :][:num_wanted]
        if len(samples) < MIN_LENGTH_SHARE * num_wanted:
            raise DataError(
                f"the generated video's audio ends too early: it lasts {len(samples) / SAMPLE_RATE_HZ:.2f} of the "
                f"{num_wanted / SAMPLE_RATE_HZ:.2f} s with a face in the real one; at least {MIN_LENGTH_SHARE:.0%} are "
                "required"
            )
        rms = rms_of(samples)
        if not rms >= params.min_audio_rms:
            raise RejectedError(
                Reason.SILENT_AUDIO,
                f"the generated video is silent: RMS {rms:.6f} (params.yaml: preprocess.min_audio_rms "
                f"{params.min_audio_rms})",
            )
        return float_to_int16(samples)

    def _cut(self, media: MediaFile, boxes: NDArray[np.float64], size_px: int) -> Images:
        cut = Cropper(boxes, size_px)
        frames: Iterator[Images] = (frame.image for frame in media.frames(FPS, square_pixels=True))
        wanted = itertools.islice(frames, self.start, self.start + len(boxes))
        crops, num = np.empty((len(boxes), size_px, size_px, 3), np.uint8), 0
        for index, frame in enumerate(wanted):
            crops[index], num = cut(frame, index), index + 1
        return crops[:num]


def _excess(generated: MediaFile, real: MediaFile, segment: Segment) -> Iterator[str]:
    """Yields a clause if the generated video is longer than the real one, so that its end is not scored."""
    made_s, real_s = (media.header.num_frames / media.fps for media in (generated, real))
    if real_s and made_s - real_s > MIN_EXCESS_S:
        yield (
            f"the generated video lasts {float(made_s):.2f} s, the real one {float(real_s):.2f} s, so no frame after "
            f"the first {segment.stop} (25 fps) is scored"
        )


def _longest_segment(media: MediaFile, params: PreprocessParams) -> Segment:
    footage = Footage(media, square_pixels=True)
    settings = params.model_copy(update={"choose_face": "largest", "rolled_faces": "reject", "max_clip_s": _WHOLE_S})
    longer_side = max(next(iter(footage)).shape[:2])
    best: Segment | None = None
    first: RejectedSegment | None = None
    for detector in detectors_by_zoom(params.detector_score, params.detector_max_px, longer_side):
        scan = scan_faces(footage, detector, params.detect_every, settings.rolled_faces)
        silence = np.zeros(num_samples_of(len(scan.faces)), np.float32)
        for segment in find_segments(scan, footage, silence, settings):
            if isinstance(segment, RejectedSegment):
                first = first or segment
            elif best is None or segment.stop - segment.start > best.stop - best.start:
                best = segment
        if best is not None and best.stop - best.start == len(scan.faces):
            break  # a larger input cannot find more
    if best is None:
        assert first is not None  # every shot gives a segment or a rejected one
        raise RejectedError(first.reason, f"the real video: {first.detail}")
    return best
