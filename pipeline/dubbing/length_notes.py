"""Notes on what a dub leaves out or repeats because its video, its segments and its speech differ in length."""

from __future__ import annotations

import math
from fractions import Fraction

from pipeline.dubbing.option_values import Fill
from pipeline.dubbing.segment_voice import FADE_S
from pipeline.dubbing.timing import SourceTiming
from pipeline.dubbing.voice import OpenVoice
from pipeline.media.input_video import InputVideo

PADDING_S = 0.1
"""A smaller rest gets no note: codecs pad the end of a sound, and frames are shown as a whole."""


def note_unused_speech(opened: OpenVoice, video_end_s: float) -> None:
    """Note on each file of speech how much of it is left out at the end of its segment or of the video."""
    for part in opened.parts:
        if part.end_s <= video_end_s + PADDING_S:
            if (excess_s := part.speech_end_s - part.end_s) > FADE_S:
                part.media.note(f"the last {excess_s:.2f} s do not fit into the segment and are left out")
        elif (excess_s := part.speech_end_s - video_end_s) > PADDING_S:
            part.media.note(_after_video(excess_s))
    if not opened.parts and (excess_s := float(opened.voice.duration_s) - video_end_s) > PADDING_S:
        opened.files[0].note(_after_video(excess_s))


def note_other_length(video: InputVideo, source: SourceTiming, speech_s: Fraction, fill: Fill) -> None:
    """Note on the video whether it is cut or repeated for an output of the length of the speech.

    A single picture gets no note. ``source``: the times of the frames that were read.
    """
    if len(source.times_s) <= 2:  # one frame, and its end
        return
    read_s, wanted_s = float(source.times_s[-1]), float(speech_s)
    video_s = read_s if source.is_read_to_end else max(read_s, float(video.header.duration_s or math.inf))
    if video_s - wanted_s > PADDING_S:
        video.note(f"only its first {wanted_s:.2f} s are used: the speech ends there")
    elif wanted_s - video_s > PADDING_S:
        how = "backwards and forwards" if fill == "pingpong" else "from its beginning"
        video.note(f"it is {wanted_s - video_s:.2f} s shorter than the speech, so it is repeated {how}")


def _after_video(excess_s: float) -> str:
    return f"the last {excess_s:.2f} s are after the end of the video and are left out"
