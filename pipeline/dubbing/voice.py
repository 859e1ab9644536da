"""The voice of a dub: one file, one file for the lips and another to play, or a file for each segment of the video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.dubbing.segment_voice import SegmentPart, load_segments
from pipeline.dubbing.segments import DubSegment
from pipeline.dubbing.speech import load_speech, note_silence
from pipeline.features.alignment import FPS
from pipeline.features.array_file import ArrayRows
from pipeline.media.audio import Begin
from pipeline.media.file import MediaFile
from pipeline.media.input_video import InputVideo
from pipeline.media.output_sound import OutputSound


class DubVoice(Protocol):
    """Speech of the output: its features, as in ``AudioSource``, and its sound."""

    @property
    def mel(self) -> ArrayRows[np.float32]: ...

    @property
    def audio(self) -> ArrayRows[np.int16]: ...

    @property
    def duration_s(self) -> Fraction: ...

    def output(self, *, is_whole: bool) -> OutputSound:
        """The sound for the written video. ``is_whole``: whether the video is as long as the voice."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class OpenVoice:
    """A voice, the open files that it is read from, and the spans of the video that it belongs to.

    ``parts``: the segments; none if the voice belongs to the whole video. ``files``: the sound comes first.
    """

    voice: DubVoice
    files: Sequence[MediaFile]
    parts: Sequence[SegmentPart] = ()

    @property
    def spans(self) -> list[tuple[float, float, DubSegment]]:
        """Start and end of each segment in seconds, and the segment."""
        return [(part.start_s, part.end_s, part.segment) for part in self.parts]

    @property
    def times(self) -> list[tuple[float, float]]:
        """Start and end of each span, in seconds."""
        return [(start_s, end_s) for start_s, end_s, _ in self.spans]


@contextmanager
def open_voice(
    video: InputVideo, audio: Path | None, drive: Path | None, segments: Sequence[DubSegment], audio_track: int | None
) -> Iterator[OpenVoice]:
    """Read the voice for ``video`` from its files, which stay open until the end of the ``with``.

    ``segments``: if there are any, ``audio`` is not used. ``drive``: the speech that the lips follow, if it is another
    one than ``audio``. Raises MediaError for an unusable file, UserError for segments that overlap.
    """
    with ExitStack() as stack:
        if segments:
            files = [stack.enter_context(MediaFile(segment.audio, audio_track)) for segment in segments]
            begins = [beginning(video, file) for file in files]
            voice = load_segments(video, segments, files, begins)
            yield OpenVoice(voice, files, voice.parts)
            return
        assert audio is not None  # check_files refuses it
        sound = stack.enter_context(MediaFile(audio, audio_track))
        speech = load_speech(sound, beginning(video, sound))
        if drive is None:
            note_silence(sound, speech.audio)
            yield OpenVoice(speech, [sound])
            return
        leading = stack.enter_context(MediaFile(drive))
        lips = load_speech(leading, beginning(video, leading))
        note_silence(leading, lips.audio)
        if abs(difference_s := float(lips.duration_s - speech.duration_s)) > 1 / FPS:
            rest = "the rest is not used" if difference_s > 0 else "the mouth rests after its end"
            leading.note(
                f"it is {abs(difference_s):.2f} s {'longer' if difference_s > 0 else 'shorter'} than the sound; {rest}"
            )
        yield OpenVoice(replace(speech, mel=lips.mel, audio=lips.audio), [sound, leading])


def beginning(video: InputVideo, sound: MediaFile) -> Begin:
    """Where the speech begins: with its first sample, or with the first picture if it is the sound of ``video`` itself.

    In a file with pictures whose sound starts later, silence comes first. A note on ``sound`` states whether
    sound before the pictures is kept.
    """
    is_own_sound = video.path.samefile(sound.path)
    if (lead_s := float(sound.sound_lead_s)) > 1 / FPS:
        what = "are left out" if is_own_sound else "are kept: the dub begins with them"
        sound.note(f"the first {lead_s:.2f} s of its sound come before its video and {what}")
    return "picture" if is_own_sound else "sound"
