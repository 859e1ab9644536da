"""One source clip to one shard sample, or to the reason why not. Nothing here depends on other clips.

A sample begins and ends with the face: frames before it is first seen and after it is last seen are cut off, with
their sound. It also ends where picture or sound ends, whichever is first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.alignment import FPS, SAMPLE_RATE_HZ, num_samples_of
from pipeline.digest import sha256_of
from pipeline.manifest import ClipRecord
from pipeline.media.audio import decode_audio, float_to_int16, int16_to_float, mel_spectrogram
from pipeline.media.crops import CROP_PX, Cropper, boxes_within, context_boxes, crop_boxes
from pipeline.media.errors import MediaError
from pipeline.media.faces import (
    FaceTrack,
    detect_every,
    detectors_by_zoom,
    link_detections,
    main_track,
    smooth_faces,
)
from pipeline.media.video import encode_mjpeg, iter_frames
from pipeline.params import PreprocessParams
from pipeline.shards.write import ClipSample, Reject

log = logging.getLogger(__name__)

MAX_HELD_BYTES = 400_000_000
"""Decoded frames kept in memory; a longer clip is decoded a second time instead."""


class Reason(StrEnum):
    """Why a clip is not in the shards."""

    MISSING_FILE = "missing_file"
    BROKEN_VIDEO = "broken_video"
    CHANGED_FILE = "changed_file"
    BROKEN_AUDIO = "broken_audio"
    NO_AUDIO = "no_audio"
    SILENT_AUDIO = "silent_audio"
    LENGTH_MISMATCH = "length_mismatch"
    TOO_SHORT = "too_short"
    NO_FACE = "no_face"
    FACE_LOST = "face_lost"
    FACE_TOO_SMALL = "face_too_small"
    INTERNAL_ERROR = "internal_error"


class _RefusedError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def process_clip(record: ClipRecord, params: PreprocessParams, root: Path) -> ClipSample | Reject:
    """Decode, find and follow the face, crop, compute the mel. ``root`` is where relative paths start.

    Whatever is wrong with the clip comes back as a Reject. Only trouble of the machine (memory, disk) raises.
    """
    try:
        return _sample_of(record, params, root / record.path)
    except _RefusedError as refused:
        reason, detail = refused.reason, refused.detail
    except (MemoryError, OSError):
        raise
    except Exception as error:  # one odd clip of many thousands must not end the run
        log.exception("clip %s (%s) hit a fault of the program", record.clip_id, record.path)
        reason, detail = Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}"
    return Reject(
        clip_id=record.clip_id,
        speaker=record.speaker,
        split=record.split,
        path=record.path,
        reason=reason.value,
        detail=detail,
    )


def _sample_of(record: ClipRecord, params: PreprocessParams, path: Path) -> ClipSample:
    if path.is_file() and sha256_of(path) != record.sha256:
        raise _RefusedError(
            Reason.CHANGED_FILE,
            "not the file that was listed; `dvc repro --force --single-item download` lists the clips again",
        )
    samples = _sound(path, params)
    frames = _Frames(path)
    track = _follow_face(frames, params)
    start, stop = _usable_span(track, len(samples), params)
    faces = smooth_faces(track, params.smooth_frames)
    face_px = 2 * float(np.median(faces[:, 2]))
    if face_px < params.min_face_px:
        raise _RefusedError(
            Reason.FACE_TOO_SMALL,
            f"the face is {face_px:.0f} px high (params.yaml: preprocess.min_face_px {params.min_face_px})",
        )
    tight, wide = crop_boxes(faces), context_boxes(faces)
    cut_tight, cut_wide = Cropper(tight, CROP_PX), Cropper(wide, params.context_px)
    tight_jpegs: list[bytes] = []
    wide_jpegs: list[bytes] = []
    brightness: list[float] = []
    for index, frame in zip(range(stop), frames, strict=False):
        if index < start:
            continue
        crop = cut_tight(frame, index)
        brightness.append(float(crop.mean()))
        tight_jpegs.append(encode_mjpeg([crop], params.jpeg_quality)[0])
        wide_jpegs.append(encode_mjpeg([cut_wide(frame, index)], params.jpeg_quality)[0])
    sound = np.zeros(num_samples_of(stop - start), np.float32)
    heard = samples[num_samples_of(start) :][: len(sound)]
    sound[: len(heard)] = heard
    audio = float_to_int16(sound)
    return ClipSample(
        clip_id=record.clip_id,
        speaker=record.speaker,
        split=record.split,
        fps=FPS,
        frames_mjpeg=b"".join(tight_jpegs),
        frame_bytes=[len(jpeg) for jpeg in tight_jpegs],
        context_mjpeg=b"".join(wide_jpegs),
        context_bytes=[len(jpeg) for jpeg in wide_jpegs],
        crop_in_context=boxes_within(tight, wide, params.context_px)[start:stop],
        mel=mel_spectrogram(int16_to_float(audio)),
        audio=audio,
        transcript=record.transcript,
        source=path.name,
        stats={
            "face_px": face_px,
            "face_motion": float(np.hypot(*np.diff(faces[:, :2], axis=0).T).mean()) / face_px * FPS,
            "face_score": float(track.scores[track.is_seen].mean()),
            "brightness": float(np.mean(brightness)),
            "audio_rms": float(np.sqrt(np.mean(np.square(sound)))),
        },
    )


def _sound(path: Path, params: PreprocessParams) -> NDArray[np.float32]:
    try:
        samples = decode_audio(path)
    except MediaError as error:
        known = {"missing_file": Reason.MISSING_FILE, "no_audio": Reason.NO_AUDIO}
        raise _RefusedError(known.get(error.reason_code, Reason.BROKEN_AUDIO), error.detail) from error
    rms = float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
    if not rms >= params.min_audio_rms:
        raise _RefusedError(
            Reason.SILENT_AUDIO,
            f"RMS {rms:.6f} (params.yaml: preprocess.min_audio_rms {params.min_audio_rms})",
        )
    return samples


class _Frames:
    """A video's frames at 25 fps, ``uint8 [H, W, 3]`` BGR, as often as wanted, in bounded memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: list[NDArray[np.uint8]] = []
        self._are_held = False

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        if self._are_held:
            yield from self._held
            return
        self._held, num_bytes = [], 0
        try:
            for frame in iter_frames(self._path, FPS):
                num_bytes += frame.image.nbytes
                if num_bytes <= MAX_HELD_BYTES:
                    self._held.append(frame.image)
                yield frame.image
        except MediaError as error:
            raise _RefusedError(Reason.BROKEN_VIDEO, error.detail) from error
        self._are_held = num_bytes <= MAX_HELD_BYTES
        if not self._are_held:
            self._held = []


def _follow_face(frames: _Frames, params: PreprocessParams) -> FaceTrack:
    track: FaceTrack | None = None
    longer_side = max(next(iter(frames)).shape[:2])
    for detector in detectors_by_zoom(params.detector_score, params.detector_max_px, longer_side):
        found = detect_every(detector, frames, params.detect_every)
        links = link_detections(found, params.max_gap_frames, params.detect_every)
        track = main_track(links) or track
        if track is not None and track.longest_gap <= params.max_gap_frames + params.detect_every - 1:
            return track
    if track is None:
        raise _RefusedError(Reason.NO_FACE, f"no face in {len(found)} frames")
    raise _RefusedError(
        Reason.FACE_LOST,
        f"no face for {track.longest_gap} frames in a row "
        f"(params.yaml: preprocess.max_gap_frames {params.max_gap_frames})",
    )


def _usable_span(track: FaceTrack, num_samples: int, params: PreprocessParams) -> tuple[int, int]:
    """First frame and end of what has face, picture and sound; the last frame may be padded with silence."""
    picture_s, sound_s = len(track.boxes) / FPS, num_samples / SAMPLE_RATE_HZ
    if abs(picture_s - sound_s) > params.max_length_mismatch_s:
        raise _RefusedError(
            Reason.LENGTH_MISMATCH,
            f"{picture_s:.2f} s of picture, {sound_s:.2f} s of sound "
            f"(params.yaml: preprocess.max_length_mismatch_s {params.max_length_mismatch_s})",
        )
    seen = np.flatnonzero(track.is_seen)
    start, stop = int(seen[0]), min(int(seen[-1]) + 1, int(np.ceil(sound_s * FPS - 1e-9)))
    if stop - start < params.min_frames:
        raise _RefusedError(
            Reason.TOO_SHORT,
            f"{max(0, stop - start)} frames (params.yaml: preprocess.min_frames {params.min_frames})",
        )
    return start, stop
