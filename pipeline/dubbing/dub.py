"""Dubs a video: detects the face, generates the mouth, blends and encodes, in batches of frames.

Memory holds one batch of frames, one box per frame, and the features of the speech (3.5 MB a minute).
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.core.choices import CropGeometry, Length, Reference
from pipeline.core.errors import UserError
from pipeline.dubbing.choices import Fill, OnMissing
from pipeline.dubbing.face_path import Followed, FollowSettings, follow_face
from pipeline.dubbing.output import require_output
from pipeline.dubbing.paste import paste_mouth
from pipeline.dubbing.playback import Frame, play
from pipeline.dubbing.reference import ShotReference
from pipeline.dubbing.speech import load_speech
from pipeline.dubbing.summary import DubSummary
from pipeline.dubbing.tint import SkinTint, pixels_inside
from pipeline.faces.crops import CROP_PX, Cropper
from pipeline.faces.detector import FaceDetector
from pipeline.features.alignment import FPS
from pipeline.inference.generator_inputs import AudioSource, FrameIndices, GeneratorState
from pipeline.media.audio import Begin
from pipeline.media.file import Display, MediaFile
from pipeline.media.writer import VideoWriter
from pipeline.report.progress import tracked

logger = logging.getLogger(__name__)

DetectorsFor = Callable[[int], Iterable[FaceDetector]]
"""Maps the longer side of a video's frames, in pixels, to the detectors to try in turn."""

BATCH_FRAMES = 32
_BATCH_BYTES = 1 << 27  # 128 MiB of source frames at once


@dataclass(frozen=True, kw_only=True)
class DubSettings:
    """Settings of a dubbing. They do not change the model.

    length: the input that sets the output's length. fill: how to extend a video that is too short. on_missing: whether
    to keep frames without a face or to raise an error; ``auto`` keeps them if any frame has a face. reference: the
    reference image of the generator, the ``first`` frame of the shot or the ``same`` frame. audio_track: number of the
    audio track with the speech, from 1; by default as in ``choose_audio_track``.
    """

    follow: FollowSettings
    length: Length = "audio"
    fill: Fill = "pingpong"
    on_missing: OnMissing = "auto"
    reference: Reference = "first"
    audio_track: int | None = None
    batch_frames: int = BATCH_FRAMES


class GenerateMouths(Protocol):
    """Interface of a generator, such as ``MouthGenerator``."""

    @property
    def geometry(self) -> CropGeometry:
        """What its crops show of the face."""

    def audio_windows(self, voice: AudioSource, frames: FrameIndices, fps: float) -> NDArray[np.float32]:
        """One audio window per frame: float32 [N, F, L]."""

    def __call__(
        self,
        crops: NDArray[np.uint8],
        windows: NDArray[np.float32],
        references: NDArray[np.uint8],
        state: GeneratorState,
    ) -> NDArray[np.uint8]:
        """Generate crops from crops, their audio windows and reference crops; all crops are uint8 [N, 96, 96, 3]."""


def dub_file(
    face: Path,
    audio: Path,
    out: Path,
    generate: GenerateMouths,
    detectors_for: DetectorsFor,
    settings: DubSettings,
) -> DubSummary:
    """Write ``out``: the video ``face`` at its own size and frame rate, dubbed with ``audio``.

    Writes ``out`` atomically. Raises MediaError for an unusable input, UserError for arguments that cannot be used.
    """
    require_output(out, face, audio)
    # The matrices of pasting are small: with one thread it is four times as fast.
    one_thread = threadpool_limits(1, user_api="blas")
    with one_thread, MediaFile(face) as video, MediaFile(audio, settings.audio_track) as sound:
        return _dub(video, sound, out, generate, detectors_for, settings)


def _dub(
    video: MediaFile,
    sound: MediaFile,
    out: Path,
    generate: GenerateMouths,
    detectors_for: DetectorsFor,
    settings: DubSettings,
) -> DubSummary:
    started = time.monotonic()
    face, display, fps = video.path, video.display, video.fps
    speech = load_speech(sound, _beginning(video, sound))
    num_wanted: int | None = None
    if settings.length == "audio":
        num_wanted = max(1, round(speech.duration_s * fps))
    writer = VideoWriter(
        out,
        fps,
        (display.width, display.height),
        speech.output(is_whole=settings.length == "audio"),
        crf=17,
        preset="superfast",  # half the time of "veryfast"; at one crf PSNR is 0.4 dB higher, the file 20 % larger
        match=settings.length,
        pixel_aspect=display.pixel_aspect,
    )
    num_stated = video.header.num_frames
    num_watched = num_stated if num_wanted is None else min(num_wanted, num_stated or num_wanted)

    def open_frames() -> Iterator[Frame]:
        return (timed.image for timed in video.frames(fps))

    def watched_frames() -> Iterator[Frame]:  # short audio needs only the beginning of a long video
        return tracked(itertools.islice(open_frames(), num_wanted), "detecting faces", num_watched or None, "frames")

    detectors = detectors_for(max(display.width, display.height))
    followed = follow_face(watched_frames, detectors, float(fps), settings.follow, generate.geometry)
    boxes = followed.boxes
    num_shown = len(boxes) if num_wanted is None else num_wanted
    shown = play(open_frames, len(boxes), num_shown, settings.fill, out.parent)
    num_missing = 0
    _require_faces(face, boxes, float(fps), settings.on_missing)
    with writer:
        batch_frames = _batch_size(display, settings)
        dubbed = regenerate(shown, followed, speech, float(fps), generate, batch_frames, settings.reference)
        for source, image in tracked(dubbed, "generating frames", num_shown, "frames"):
            num_missing += bool(np.isnan(boxes[source, 0]))
            writer.write(image)
    with MediaFile(out) as written:
        size = written.display
    return DubSummary(
        path=out,
        num_frames=num_shown,
        num_missing=num_missing,
        width=size.width,
        height=size.height,
        fps=float(fps),
        seconds=time.monotonic() - started,
        notes=tuple(f"{media.path}: {note}" for media in (video, sound) for note in media.notes),
    )


def regenerate(
    shown: Iterable[tuple[int, Frame]],
    followed: Followed,
    voice: AudioSource,
    fps: float,
    generate: GenerateMouths,
    batch_frames: int = BATCH_FRAMES,
    reference: Reference = "first",
) -> Iterator[tuple[int, Frame]]:
    """Generate mouths for a stream of (source frame index, frame), in batches; yields the stream with new frames.

    Frames without a face in ``followed`` are returned unchanged. The k-th frame of the stream gets the audio at
    k / fps seconds.
    """
    boxes, turns = followed.boxes, followed.turns
    has_face = np.isfinite(boxes[:, 0])
    if has_face.any():  # placeholder boxes must not affect the sampling density
        cut = Cropper(np.where(has_face[:, None], boxes, np.nanmedian(boxes, axis=0)), CROP_PX)
    first_of_shot, tint_of, state = ShotReference(followed.cuts), SkinTint(fps, followed.cuts), GeneratorState()
    numbered = enumerate(shown)
    while batch := list(itertools.islice(numbered, batch_frames)):
        pictures = {place: frame for place, (_, frame) in batch}
        faces = [(place, source) for place, (source, _) in batch if has_face[source]]
        if faces:
            crops = np.stack([cut(_turned(pictures[place], turns[source]), source) for place, source in faces])
            places = np.array([place for place, _ in faces])
            references = crops if reference == "same" else first_of_shot(crops, [source for _, source in faces])
            mouths = generate(crops, generate.audio_windows(voice, places, fps), references, state)
            for (place, source), crop, mouth in zip(faces, crops, mouths, strict=True):
                upright, box = _turned(pictures[place], turns[source]), boxes[source]
                height, width = upright.shape[:2]
                tint = tint_of(crop, mouth, pixels_inside(box, height, width, CROP_PX), source)
                pictures[place] = _turned(paste_mouth(upright, mouth, box, tint), -turns[source])
        for place, (source, _) in batch:
            yield source, pictures[place]


def _turned(frame: Frame, turns: int) -> Frame:
    return np.ascontiguousarray(np.rot90(frame, turns))


def _beginning(video: MediaFile, sound: MediaFile) -> Begin:
    """Sample 0 of the speech: its first sample, unless it belongs to the pictures of ``video`` itself."""
    is_own_sound = video.path.samefile(sound.path)
    if (lead_s := float(sound.sound_lead_s)) > 1 / FPS:
        what = "is left out" if is_own_sound else "is kept: the dub begins with it"
        sound.note(f"its sound starts {lead_s:.2f} s before its video, which {what}")
    return "picture" if is_own_sound else "sound"


def _batch_size(display: Display, settings: DubSettings) -> int:
    return max(1, min(settings.batch_frames, _BATCH_BYTES // (3 * display.width * display.height)))


def _require_faces(face: Path, boxes: NDArray[np.float64], fps: float, on_missing: OnMissing) -> None:
    missing = np.flatnonzero(np.isnan(boxes[:, 0]))
    is_refused = {"auto": len(missing) == len(boxes), "keep": False, "error": len(missing) > 0}
    if is_refused[on_missing]:
        raise UserError(
            f"{face}: no face in {len(missing)} of {len(boxes)} frames, first at "
            f"{missing[0] / fps:.2f} s; use --on-missing keep to keep such frames unchanged"
        )
