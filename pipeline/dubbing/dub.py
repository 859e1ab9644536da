"""Dubs a video: detects the face, generates the mouth, blends and encodes, in batches of frames.

Memory holds one batch of frames, or those of a short video, and the boxes of all frames. The features of the speech are
in temporary files.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline.core.choices import Length, Reference
from pipeline.dubbing.blend import Shares, generated_shares
from pipeline.dubbing.decoded_frames import DecodedFrames
from pipeline.dubbing.detail import MouthDetail
from pipeline.dubbing.drawn import DrawnFrames
from pipeline.dubbing.face_path import Followed, find_faces, finer
from pipeline.dubbing.face_selection import asked_for, chooses_faces, select_faces
from pipeline.dubbing.file_arguments import naming_options
from pipeline.dubbing.frame_paste import FramePaster
from pipeline.dubbing.kept_frames import kept_frames
from pipeline.dubbing.label import label_frames
from pipeline.dubbing.length_notes import note_other_length, note_unused_speech
from pipeline.dubbing.mouths import GenerateMouths, MouthStream
from pipeline.dubbing.path_crops import PathCropper
from pipeline.dubbing.phases import in_phase
from pipeline.dubbing.playback import play
from pipeline.dubbing.reference import ShotReference, ShotStarts
from pipeline.dubbing.settings import BATCH_FRAMES, DubSettings, check_files, named_inputs
from pipeline.dubbing.summary import DubSummary
from pipeline.dubbing.timing import OutputTiming, SourceTiming
from pipeline.dubbing.tint import SkinTint, pixels_inside
from pipeline.dubbing.voice import OpenVoice, open_voice
from pipeline.dubbing.who import parse_who
from pipeline.faces.detector import FaceDetector
from pipeline.inference.generator_inputs import AudioSource
from pipeline.media.file import MediaFile
from pipeline.media.header import Display
from pipeline.media.input_video import InputVideo
from pipeline.media.picture import StoredPicture, to_bgr
from pipeline.media.picture_folder import open_pictures
from pipeline.media.writer import VideoWriter

DetectorsFor = Callable[[int], Iterable[FaceDetector]]
"""Maps the longer side of a video's frames, in pixels, to the detectors to try in turn."""

_BATCH_BYTES = 1 << 26  # 64 MiB of source frames at once, in BGR
_FASTER = {"coder": "0", "aq-strength": "0.5", "bf": "1", "b_strategy": "0"}
"""A quarter less time. With the last two and a CRF of 17.5 instead of 17, on two 720x576 clips PSNR is 0.2 dB higher
(1.1 dB in the worst frame), SSIM 0.0008 higher, and the file 5 % larger."""


def dub_file(
    face: Path,
    audio: Path | None,
    out: Path,
    generate: GenerateMouths,
    detectors_for: DetectorsFor,
    settings: DubSettings,
) -> DubSummary:
    """Write ``out``: the video ``face`` at its own size and frame rate, dubbed with ``audio``.

    If its rate varies, each frame keeps its time. ``audio`` is not needed if the settings have segments. Writes ``out``
    atomically. Raises MediaError for an unusable input, DataError if too few frames show the face, UserError for
    arguments that cannot be used.
    """
    check_files(face, audio, out, settings)
    # The matrices of pasting are small: with one thread it is four times as fast.
    one_thread = threadpool_limits(1, user_api="blas")
    with (
        one_thread,
        naming_options(named_inputs(face, audio, settings.drive, settings.segments)),
        open_pictures(face, settings.fps) as video,
        open_voice(video, audio, settings.drive, settings.segments, settings.audio_track) as voice,
    ):
        return _dub(video, voice, out, generate, detectors_for, settings)


def _dub(
    video: InputVideo,
    opened: OpenVoice,
    out: Path,
    generate: GenerateMouths,
    detectors_for: DetectorsFor,
    settings: DubSettings,
) -> DubSummary:
    started = time.monotonic()
    display, fps, voice, who = video.display, video.fps, opened.voice, parse_who(settings.who)
    length: Length = "video" if opened.spans else settings.length
    source = SourceTiming(fps, voice.duration_s if length == "audio" else None)
    # Short audio needs only the beginning of a long video, but the numbers of faces are those of the whole.
    is_whole = source.num_wanted is None or isinstance(who, tuple)
    num_stated = video.header.num_frames
    num_watched = num_stated if is_whole else min(source.num_wanted or 0, num_stated or source.num_wanted or 0)

    decoded = DecodedFrames(video.stored_frames, num_watched)

    def open_stored() -> Iterator[StoredPicture]:
        return (timed.image for timed in decoded())

    def watched_frames() -> Iterator[StoredPicture]:
        frames = source.read(decoded(), to_end=is_whole)
        return in_phase(frames, "detecting faces", num_watched or None, settings.on_progress)

    detectors = detectors_for(max(display.width, display.height))
    if has_numbers := chooses_faces(who, opened.spans):
        detectors = finer(detectors)
    found = replace(find_faces(watched_frames, detectors, float(fps), settings.follow), times_s=source.times_s)
    spans = [(source.frame_at(start_s), source.frame_at(end_s), segment) for start_s, end_s, segment in opened.spans]
    selection = select_faces(
        found, who, spans, lambda: map(to_bgr, itertools.islice(open_stored(), found.num_frames)), video
    )
    followed = found.follow(selection.choices, settings.follow, generate.geometry)
    timing = source.output(settings.fill)
    shares = generated_shares(timing.times_s[:-1], float(timing.fps), opened.times, voice.audio, settings.in_silence)
    drawn = DrawnFrames(followed, timing.sources(found.num_frames, settings.fill), shares, timing.times_s)
    drawn.require(video.path, settings.on_missing, settings.min_dubbed)
    if length == "video":
        note_unused_speech(opened, float(timing.times_s[-1]))
    else:
        note_other_length(video, source, voice.duration_s, settings.fill)
    shown = timing.shown(play(open_stored, found.num_frames, timing.num_plays, settings.fill, out.parent))
    writer = VideoWriter(
        out,
        fps,
        (display.width, display.height),
        voice.output(is_whole=length == "audio"),
        crf=17.5,
        preset="superfast",  # half the time of "veryfast"; at one crf PSNR is 0.4 dB higher, the file 20 % larger
        x264=_FASTER,
        match=length,
        pixel_aspect=display.pixel_aspect,
        times=timing.times,
        comment=settings.comment,
    )
    mark = label_frames(settings.label)
    with kept_frames(settings.keep_frames) as keep, writer:
        batch_frames = _batch_size(display, settings)
        dubbed = regenerate(
            shown, followed, voice, timing, generate, batch_frames, settings.reference, shares, settings.detail
        )
        for _, image in in_phase(dubbed, "generating frames", timing.num_frames, settings.on_progress):
            marked = mark(to_bgr(image)) if settings.label else image
            writer.write(marked)
            keep(marked)
    with MediaFile(out) as written:
        size = written.display
    return DubSummary(
        path=out,
        num_frames=timing.num_frames,
        num_missing=drawn.num_missing,
        num_dubbed=drawn.num_drawn,
        who=asked_for(who, opened.spans),
        faces=drawn.faces(selection.faces, has_numbers=has_numbers),
        width=size.width,
        height=size.height,
        fps=float(timing.mean_fps),
        has_varying_fps=timing.times is not None,
        seconds=time.monotonic() - started,
        notes=tuple(f"{media.path}: {note}" for media in (video, *opened.files) for note in media.notes),
    )


def regenerate(
    shown: Iterable[tuple[int, StoredPicture]],
    followed: Followed,
    voice: AudioSource,
    timing: OutputTiming,
    generate: GenerateMouths,
    batch_frames: int = BATCH_FRAMES,
    reference: Reference = "first",
    shares: Shares | None = None,
    detail: float = 0.0,
) -> Iterator[tuple[int, StoredPicture]]:
    """Generate mouths for a stream of (source frame index, frame), in batches; yields the stream with new frames.

    Frames without a face in ``followed`` are returned unchanged. Each frame of the stream gets the audio at its time.
    ``shares: float32 [K]`` is the share of the generated mouth in each frame of the stream, by default 1. A frame with
    share 0 is returned unchanged. ``detail``: how much detail is restored, 0..1 (``MouthDetail``).
    """
    numbered: Iterator[tuple[int, tuple[int, StoredPicture]]] = enumerate(shown)
    if (first := next(numbered, None)) is None:
        return
    height, width, _ = first[1][1].shape
    has_face = np.isfinite(followed.boxes[:, 0])
    cut, paste = PathCropper(followed, generate.crop_px), FramePaster(followed, height, width)
    begins_shot, first_of_shot = ShotStarts(followed.shot_starts), ShotReference()
    generate_faces = MouthStream(generate, voice, timing)
    tint_of, detail_of = SkinTint(float(timing.fps)), MouthDetail(detail, float(timing.fps))
    numbered = itertools.chain([first], numbered)
    while batch := list(itertools.islice(numbered, batch_frames)):
        pictures = {place: picture for place, (_, picture) in batch}
        faces = [(k, source) for k, (source, _) in batch if has_face[source] and (shares is None or shares[k] > 0)]
        if faces:
            crops = np.stack([cut(pictures[place], source) for place, source in faces])
            places = np.array([place for place, _ in faces])
            begins = [begins_shot(crop, source) for crop, (_, source) in zip(crops, faces, strict=True)]
            references = crops if reference == "same" else first_of_shot(crops, begins)
            mouths = generate_faces(places, crops, references)
            for (place, source), crop, mouth, is_first in zip(faces, crops, mouths, begins, strict=True):
                roll = float(followed.rolls[source])
                inside = pixels_inside(followed.boxes[source], height, width, len(crop), roll)
                tint = tint_of(crop, mouth, inside, is_first)
                refine = detail_of(crop, mouth, is_first)
                share = 1.0 if shares is None else float(shares[place])
                pictures[place] = paste(pictures[place], source, mouth, tint, refine, share)
        for place, (source, _) in batch:
            yield source, pictures[place]


def _batch_size(display: Display, settings: DubSettings) -> int:
    return max(1, min(settings.batch_frames, _BATCH_BYTES // (3 * display.width * display.height)))
