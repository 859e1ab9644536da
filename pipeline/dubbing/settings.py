"""Settings of a dubbing, and checks of its arguments before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.choices import Length, Reference
from pipeline.core.errors import UserError
from pipeline.dubbing.face_path import FollowSettings
from pipeline.dubbing.file_arguments import require_output
from pipeline.dubbing.kept_frames import require_empty
from pipeline.dubbing.label import require_drawable
from pipeline.dubbing.option_values import Fill, InSilence, OnMissing
from pipeline.dubbing.phases import OnProgress
from pipeline.dubbing.segments import DubSegment
from pipeline.dubbing.who import parse_who

BATCH_FRAMES = 32


@dataclass(frozen=True, kw_only=True)
class DubSettings:
    """Settings of a dubbing. They do not change the model.

    length: the input that sets the output's length. fill: how to extend a video that is too short. on_missing: whether
    to keep frames without a face or to raise an error; ``auto`` keeps them if at least ``min_dubbed`` of the frames
    show the face. reference: the reference image of the generator, the ``first`` frame of the shot or the ``same``
    frame. audio_track: number of the audio track with the speech, from 1; by default as in ``choose_audio_track``.

    who: the faces to dub, as in ``parse_who``. segments: the parts of the video to dub, each with its voice; the rest
    keeps its pictures and its sound, and the length is the video's. in_silence: the mouth in silence. drive: the speech
    that the lips follow, if it is another one than the sound. min_dubbed: smallest share of frames, 0..1, in which a
    mouth can be generated; None is 0.5, and 0 with on_missing ``keep``. fps: frame rate of a folder of pictures,
    by default 25. detail: how much fine detail is restored in the mouth, 0..1 (`MouthDetail`). keep_frames: folder for
    the frames as PNG. comment: metadata of the output file. label: text that is drawn into a corner of each frame.
    on_progress: called after each frame.
    """

    follow: FollowSettings
    length: Length = "audio"
    fill: Fill = "pingpong"
    on_missing: OnMissing = "auto"
    reference: Reference = "first"
    audio_track: int | None = None
    who: str | int | Sequence[int] = "largest"
    segments: Sequence[DubSegment] = ()
    in_silence: InSilence = "rest"
    drive: Path | None = None
    fps: float | None = None
    min_dubbed: float | None = None
    detail: float = 0.0
    keep_frames: Path | None = None
    comment: str | None = None
    label: str | None = None
    on_progress: OnProgress | None = None
    batch_frames: int = BATCH_FRAMES


def named_inputs(
    face: Path, audio: Path | None, drive: Path | None, segments: Sequence[DubSegment]
) -> list[tuple[str, Path]]:
    """The option of each input of a dub, and its path."""
    sounds = [("--audio", audio), ("--drive", drive), *(("--segments", Path(segment.audio)) for segment in segments)]
    return [("--face", face), *((flag, path) for flag, path in sounds if path is not None)]


def check_files(face: Path, audio: Path | None, out: Path, settings: DubSettings) -> None:
    """Raises UserError if ``out`` cannot be written or is an input, or if the arguments contradict each other."""
    require_output(out, named_inputs(face, audio, settings.drive, settings.segments))
    if settings.keep_frames is not None:
        require_empty(settings.keep_frames)
        if settings.keep_frames.resolve() in out.resolve().parents:
            raise UserError(f"--out {out} lies in --keep-frames {settings.keep_frames}; name another folder for one")
    if not settings.segments and audio is None:
        raise UserError("no speech is given; give --audio, or --segments with the speech of each part")
    if settings.segments and (audio or settings.drive):
        raise UserError("segments name their own speech; leave out --audio and --drive")
    if settings.min_dubbed is not None and not 0 <= settings.min_dubbed <= 1:
        raise UserError(f"min_dubbed is {settings.min_dubbed}; allowed: 0 to 1")
    if not 0 <= settings.detail <= 1:
        raise UserError(f"detail is {settings.detail}; allowed: 0 to 1")
    parse_who(settings.who)
    require_drawable(settings.label)
