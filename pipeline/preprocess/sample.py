"""Builds the sample of one segment: its sound, its crops, their checks and their statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.core.choices import CropGeometry
from pipeline.corpora.manifest import ClipRecord
from pipeline.faces.crops import CROP_PX, Cropper, boxes_within, context_boxes, crop_boxes, resized_crops, sharpness
from pipeline.faces.roll import rolled_boxes
from pipeline.features.alignment import FPS, num_samples_of
from pipeline.features.mel import mel_spectrogram
from pipeline.features.samples import float_to_int16, int16_to_float
from pipeline.media.audio import rms_of
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.params import PreprocessParams
from pipeline.preprocess.reasons import Reason, RejectedError
from pipeline.preprocess.segments import Segment
from pipeline.shards.write import ClipSample

CLIPPED_LEVEL = 0.99
"""Share of full scale at which an audio sample counts as clipped."""


@dataclass(frozen=True)
class SegmentCrops:
    """The crops of a segment as JPEG, one of each kind per frame.

    ``boxes_in_context: float64 [N, 4]`` by geometry: face crops in pixels of the context crops. ``brightness``: mean of
    the face crops, 0 to 255. ``sharpness``: median over the face crops at 96 px, in squared grey levels.
    """

    geometry: CropGeometry
    side_px: int
    faces: Sequence[bytes]
    context: Sequence[bytes]
    boxes_in_context: Mapping[CropGeometry, NDArray[np.float64]]
    brightness: float
    sharpness: float


def sound_of(segment: Segment, samples: NDArray[np.float32], params: PreprocessParams) -> NDArray[np.float32]:
    """The segment's part of the clip's sound at 16 kHz, float32 [n], with silence where it has ended.

    Raises RejectedError for silence.
    """
    sound = np.zeros(num_samples_of(segment.stop - segment.start), np.float32)
    available = samples[num_samples_of(segment.start) :][: len(sound)]
    sound[: len(available)] = available
    require_audible(sound, params)
    return sound


def require_audible(samples: NDArray[np.float32], params: PreprocessParams) -> None:
    """Raises RejectedError if the RMS of the samples is below ``preprocess.min_audio_rms``."""
    rms = rms_of(samples)
    if not rms >= params.min_audio_rms:
        raise RejectedError(
            Reason.SILENT_AUDIO,
            f"the audio RMS {rms:.6f} is too low (params.yaml: preprocess.min_audio_rms {params.min_audio_rms})",
        )


def crops_of(
    segment: Segment, frames: Iterator[NDArray[np.uint8]], params: PreprocessParams, crop_px: int
) -> SegmentCrops:
    """Cut the face and the context out of the segment's ``frames``, uint8 [H, W, 3] BGR.

    ``crop_px``: side of the face crops in pixels. Raises RejectedError if they are less sharp than
    ``preprocess.min_sharpness``.
    """
    boxes_of = {geometry: crop_boxes(segment.faces, geometry) for geometry in get_args(CropGeometry)}
    around = context_boxes(segment.faces)
    cut_crop, cut_context = (
        Cropper(rolled_boxes(boxes, segment.faces, segment.rolls), size_px, rolls=segment.rolls)
        for boxes, size_px in ((boxes_of[params.crop], crop_px), (around, params.context_px))
    )
    crop_jpegs: list[bytes] = []
    context_jpegs: list[bytes] = []
    brightness: list[float] = []
    sharpnesses: list[float] = []
    for index, frame in enumerate(frames):
        crop = cut_crop(frame, index)
        brightness.append(float(crop.mean()))
        sharpnesses.append(sharpness(resized_crops(crop[None], CROP_PX)[0]))
        crop_jpegs.append(encode_mjpeg([crop], params.jpeg_quality)[0])
        context_jpegs.append(encode_mjpeg([cut_context(frame, index)], params.jpeg_quality)[0])
    sharp = float(np.median(sharpnesses))
    if sharp < params.min_sharpness:
        raise RejectedError(
            Reason.BLURRED,
            f"sharpness {sharp:.1f} is too low (params.yaml: preprocess.min_sharpness {params.min_sharpness})",
        )
    return SegmentCrops(
        geometry=params.crop,
        side_px=crop_px,
        faces=crop_jpegs,
        context=context_jpegs,
        boxes_in_context={name: boxes_within(boxes, around, params.context_px) for name, boxes in boxes_of.items()},
        brightness=float(np.mean(brightness)),
        sharpness=sharp,
    )


def sample_of(
    record: ClipRecord,
    clip_id: str,
    segment: Segment,
    crops: SegmentCrops,
    sound: NDArray[np.float32],
    source_fps: float,
) -> ClipSample:
    """The sample of a segment. ``source_fps``: frame rate of the source clip, 1/s."""
    audio = float_to_int16(sound)
    others = {name: boxes for name, boxes in crops.boxes_in_context.items() if name != crops.geometry}
    return ClipSample(
        clip_id=clip_id,
        speaker=record.speaker,
        split=record.split,
        fps=FPS,
        frames_mjpeg=b"".join(crops.faces),
        frame_bytes=[len(jpeg) for jpeg in crops.faces],
        context_mjpeg=b"".join(crops.context),
        context_bytes=[len(jpeg) for jpeg in crops.context],
        crop=crops.geometry,
        crop_px=crops.side_px,
        crop_in_context=crops.boxes_in_context[crops.geometry],
        other_crops_in_context=others,
        mel=mel_spectrogram(int16_to_float(audio)),
        audio=audio,
        transcript=record.transcript,
        source=record.path.rsplit("/", 1)[-1],
        stats=_stats_of(segment, crops, sound, source_fps),
    )


def _stats_of(
    segment: Segment, crops: SegmentCrops, sound: NDArray[np.float32], source_fps: float
) -> Mapping[str, float]:
    """The statistics of a clip; docs/data.md has their units and ranges."""
    steps_px = np.hypot(*np.diff(segment.faces[:, :2], axis=0).T)
    return {
        "face_px": segment.face_px,
        "face_motion": float(steps_px.mean()) / segment.face_px * FPS,
        "face_score": segment.score,
        "face_missing": segment.missing,
        "sharpness": crops.sharpness,
        "brightness": crops.brightness,
        "audio_rms": rms_of(sound),
        "audio_clipped": float(np.mean(np.abs(sound) >= CLIPPED_LEVEL)),
        "source_fps": source_fps,
    }
