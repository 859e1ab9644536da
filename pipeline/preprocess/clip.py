"""Converts one source clip to shard samples or rejects, independently of other clips.

A sample has one shot and one face. It covers the frames with the face, audio and video. A clip with cuts or long
gaps without a face, or longer than ``preprocess.max_clip_s``, gives several parts, each a sample or a reject, named
``CLIP-p000``, ``CLIP-p001``, ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.core.choices import CropGeometry
from pipeline.core.errors import LipsmithError
from pipeline.corpora.manifest import ClipRecord
from pipeline.corpora.storage import local_file
from pipeline.faces.any_roll import any_roll_detectors_by_zoom
from pipeline.faces.crops import CROP_PX, Cropper, boxes_within, context_boxes, crop_boxes, resized_crops, sharpness
from pipeline.faces.detector import detectors_by_zoom
from pipeline.faces.roll import rolled_boxes
from pipeline.features.alignment import FPS, num_samples_of
from pipeline.features.mel import mel_spectrogram
from pipeline.features.samples import float_to_int16, int16_to_float
from pipeline.media.audio import rms_of
from pipeline.media.errors import MediaError, MissingMediaError, NoAudioError
from pipeline.media.file import MediaFile
from pipeline.media.header import Header
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.params import PreprocessParams
from pipeline.preprocess.footage import Footage, scan_faces
from pipeline.preprocess.reasons import Reason, RejectedError
from pipeline.preprocess.segments import RejectedSegment, Segment, find_segments, num_kept_frames
from pipeline.shards.index import Reject
from pipeline.shards.key import segment_id
from pipeline.shards.write import ClipSample

CLIPPED_LEVEL = 0.99
"""Share of full scale at which an audio sample counts as clipped."""


def process_clip(
    record: ClipRecord, params: PreprocessParams, root: Path, crop_px: int = CROP_PX
) -> Iterator[ClipSample | Reject]:
    """Decode a clip, track the face, crop, and compute the mel spectrogram. Relative paths start at ``root``.

    ``crop_px``: side of the face crops in pixels. Yields a sample or a Reject for each part of the clip, in order.
    Faults of the clip become Rejects. Faults of the machine (memory, disk) and of the clip's storage (OutageError,
    AccessDeniedError, NoDriverError) are raised.
    """
    try:
        with local_file(record.path, root) as path, MediaFile(path) as media:
            yield from _outcomes_of(record, params, media, crop_px)
    except RejectedError as rejected:
        yield _reject(record, record.clip_id, rejected.reason, rejected.detail)
    except MissingMediaError as missing:
        yield _reject(record, record.clip_id, Reason.MISSING_FILE, missing.detail)
    except MediaError as damage:
        yield _reject(record, record.clip_id, Reason.UNREADABLE_FILE, damage.detail)
    except Exception as error:
        if not isinstance(error, LipsmithError):
            error.add_note(f"while preprocessing clip {record.clip_id} ({record.path})")
        raise


def _reject(record: ClipRecord, clip_id: str, reason: Reason, detail: str) -> Reject:
    return Reject(
        clip_id=clip_id,
        speaker=record.speaker,
        split=record.split,
        path=record.path,
        reason=reason.value,
        detail=detail,
    )


def _outcomes_of(
    record: ClipRecord, params: PreprocessParams, media: MediaFile, crop_px: int
) -> Iterator[ClipSample | Reject]:
    if media.sha256 != record.sha256:
        raise RejectedError(
            Reason.CHANGED_FILE,
            "its SHA-256 differs from the manifest; run `dvc repro --force --single-item download` to list the clips "
            "again",
        )
    header = _readable_header(media)
    samples = _sound(media, params)
    footage = Footage(media, square_pixels=True)
    segments = _best_segments(footage, samples, media.sound_delay_s, params)
    reader, source_fps = _SegmentReader(footage), float(header.fps or FPS)
    for number, segment in enumerate(segments):
        clip_id = record.clip_id if len(segments) == 1 else segment_id(record.clip_id, number)
        where = "" if len(segments) == 1 else f"{segment.start / FPS:.2f} to {segment.stop / FPS:.2f} s: "
        if isinstance(segment, RejectedSegment):
            yield _reject(record, clip_id, segment.reason, where + segment.detail)
            continue
        try:
            frames = reader.frames_of(segment)
            sample = _sample_of(record, clip_id, segment, frames, samples, source_fps, params, crop_px)
            yield replace(sample, note="; ".join(media.notes))  # the whole file has been read
        except RejectedError as rejected:
            if rejected.reason not in (Reason.BLURRED, Reason.SILENT_AUDIO):  # others concern the whole video
                raise
            yield _reject(record, clip_id, rejected.reason, where + rejected.detail)


class _SegmentReader:
    """Reads the frames of segments, requested in order, in one pass over the footage."""

    def __init__(self, footage: Footage) -> None:
        self._numbered = enumerate(footage)

    def frames_of(self, segment: Segment) -> Iterator[NDArray[np.uint8]]:
        for index, frame in self._numbered:
            if index >= segment.start:
                yield frame
            if index + 1 >= segment.stop:
                return


def _best_segments(
    footage: Footage, samples: NDArray[np.float32], delay_s: Fraction, params: PreprocessParams
) -> Sequence[Segment | RejectedSegment]:
    """Segments of the first detector that misses no face, else of the detector that keeps the most frames."""
    best: list[Segment | RejectedSegment] | None = None
    longer_side = max(next(iter(footage)).shape[:2])
    by_zoom = any_roll_detectors_by_zoom if params.rolled_faces == "align" else detectors_by_zoom
    for detector in by_zoom(params.detector_score, params.detector_max_px, longer_side):
        scan = scan_faces(footage, detector, params.detect_every, params.rolled_faces)
        segments = find_segments(scan, footage, samples, params, delay_s)
        if best is None or num_kept_frames(segments) > num_kept_frames(best):
            best = segments
        no_face_reasons = (Reason.NO_FACE, Reason.FACE_LOST)
        if not any(isinstance(segment, RejectedSegment) and segment.reason in no_face_reasons for segment in segments):
            return segments
    assert best is not None  # there is at least one detector
    return best


def _sample_of(
    record: ClipRecord,
    clip_id: str,
    segment: Segment,
    frames: Iterator[NDArray[np.uint8]],
    samples: NDArray[np.float32],
    source_fps: float,
    params: PreprocessParams,
    crop_px: int,
) -> ClipSample:
    sound = np.zeros(num_samples_of(segment.stop - segment.start), np.float32)
    available = samples[num_samples_of(segment.start) :][: len(sound)]
    sound[: len(available)] = available
    _require_audible(sound, params)
    boxes_of = {geometry: crop_boxes(segment.faces, geometry) for geometry in get_args(CropGeometry)}
    around = context_boxes(segment.faces)
    in_context = {geometry: boxes_within(boxes, around, params.context_px) for geometry, boxes in boxes_of.items()}
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
    audio = float_to_int16(sound)
    return ClipSample(
        clip_id=clip_id,
        speaker=record.speaker,
        split=record.split,
        fps=FPS,
        frames_mjpeg=b"".join(crop_jpegs),
        frame_bytes=[len(jpeg) for jpeg in crop_jpegs],
        context_mjpeg=b"".join(context_jpegs),
        context_bytes=[len(jpeg) for jpeg in context_jpegs],
        crop=params.crop,
        crop_px=crop_px,
        crop_in_context=in_context[params.crop],
        other_crops_in_context={other: boxes for other, boxes in in_context.items() if other != params.crop},
        mel=mel_spectrogram(int16_to_float(audio)),
        audio=audio,
        transcript=record.transcript,
        source=record.path.rsplit("/", 1)[-1],
        stats={
            "face_px": segment.face_px,
            "face_motion": float(np.hypot(*np.diff(segment.faces[:, :2], axis=0).T).mean()) / segment.face_px * FPS,
            "face_score": segment.score,
            "face_missing": segment.missing,
            "sharpness": sharp,
            "brightness": float(np.mean(brightness)),
            "audio_rms": rms_of(sound),
            "audio_clipped": float(np.mean(np.abs(sound) >= CLIPPED_LEVEL)),
            "source_fps": source_fps,
        },
    )


def _readable_header(media: MediaFile) -> Header:
    try:
        return media.header
    except MediaError as error:
        raise RejectedError(Reason.UNREADABLE_FILE, error.detail) from error


def _sound(media: MediaFile, params: PreprocessParams) -> NDArray[np.float32]:
    try:
        samples = media.samples()
    except MediaError as error:
        is_absent = isinstance(error, NoAudioError)
        raise RejectedError(Reason.NO_AUDIO if is_absent else Reason.BROKEN_AUDIO, error.detail) from error
    _require_audible(samples, params)
    return samples


def _require_audible(samples: NDArray[np.float32], params: PreprocessParams) -> None:
    rms = rms_of(samples)
    if not rms >= params.min_audio_rms:
        raise RejectedError(
            Reason.SILENT_AUDIO,
            f"the audio RMS {rms:.6f} is too low (params.yaml: preprocess.min_audio_rms {params.min_audio_rms})",
        )
