"""Notes on what a dub leaves out because its video, its segments and its speech differ in length."""

from __future__ import annotations

from pipeline.dubbing.segment_voice import FADE_S
from pipeline.dubbing.voice import OpenVoice

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


def _after_video(excess_s: float) -> str:
    return f"the last {excess_s:.2f} s are after the end of the video and are left out"
