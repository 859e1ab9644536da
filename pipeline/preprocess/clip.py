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

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import LipsmithError
from pipeline.corpora.manifest import ClipRecord
from pipeline.corpora.storage import local_file
from pipeline.faces.any_roll import any_roll_detectors_by_zoom
from pipeline.faces.crops import CROP_PX
from pipeline.faces.detector import detectors_by_zoom
from pipeline.features.alignment import FPS
from pipeline.media.errors import MediaError, MissingMediaError, NoAudioError
from pipeline.media.file import MediaFile
from pipeline.media.header import Header
from pipeline.params import PreprocessParams
from pipeline.preprocess.footage import Footage, scan_faces
from pipeline.preprocess.reasons import Reason, RejectedError
from pipeline.preprocess.sample import crops_of, require_audible, sample_of, sound_of
from pipeline.preprocess.segments import RejectedSegment, Segment, find_segments, num_kept_frames
from pipeline.shards.index import Reject
from pipeline.shards.key import segment_id
from pipeline.shards.write import ClipSample


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
            sound = sound_of(segment, samples, params)
            crops = crops_of(segment, reader.frames_of(segment), params, crop_px)
            sample = sample_of(record, clip_id, segment, crops, sound, source_fps)
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
    require_audible(samples, params)
    return samples
