"""Sentences on the page: the sync score of a result, what was dubbed, progress, and errors."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import NamedTuple

from pipeline.core.durations import duration_text
from pipeline.dubbing import DubSummary, PhaseProgress
from pipeline.dubbing.sync_score import DUB_JUDGE
from pipeline.features.alignment import FPS
from pipeline.metrics.lse import VSHIFT_FRAMES

_IN_SYNC_FRAMES = 1
_UNRELATED_LSE_C = 2.0
"""LSE-C by judge-1 of real videos with the sound of another clip: 1.8 for rendered faces, 2.0 for GRID."""
_SCALE = (
    "A higher LSE-C is better: real videos have about 3.5 (GRID) to 7.7 (rendered faces), and about 2 with the sound "
    "of another video."
)
KEEP_MISSING = "Dub even if most frames do not show the face"
"""The option of the page that is ``--on-missing keep`` on the command line."""
_PAGE_WORDS = (
    (
        r"use --on-missing keep to keep such frames unchanged",
        f"the option \u201c{KEEP_MISSING}\u201d leaves such frames as they are",
    ),
    (r"dub --list-faces or list_faces\(\) shows them", "the picture shows them"),
    (r"; if one is visible, lower preprocess\.detector_score in params\.yaml", ""),
    (r" \(--[a-z-]+\)", ""),
    (r"^--(?:face|audio) ", ""),
)
"""Parts of messages that name options of the command line, and what the page says instead."""


class FaceSync(NamedTuple):
    """Sync of one face with the sound. ``offset_frames``: at 25 fps, positive if the sound leads the mouth."""

    lse_c: float
    offset_frames: int


def sync_text(score: FaceSync | None, own: FaceSync | None, reason: str = "") -> str:
    """The sync score as Markdown. ``own``: that of the input with its own sound. ``reason``: why there is no score."""
    if score is None:
        return f"**Sync score:** none, because {reason}."
    text = f"**Sync score ({DUB_JUDGE}):** LSE-C {score.lse_c:.2f}, offset {_offset(score)}. {_SCALE}"
    if own is None:
        return f"{text} The input with its own sound cannot be scored for comparison."
    text += f" The input with its own sound: LSE-C {own.lse_c:.2f}, offset {_offset(own)}."
    if abs(own.offset_frames) > _IN_SYNC_FRAMES or own.lse_c <= _UNRELATED_LSE_C:
        text += f" {DUB_JUDGE} does not find the input in sync, so its scores of this face mean little."
    return text


def _offset(score: FaceSync) -> str:
    frames = score.offset_frames
    if abs(frames) >= VSHIFT_FRAMES:
        return "not found"
    if frames == 0:
        return "0 frames"
    plural = "s" if abs(frames) > 1 else ""
    which = "before" if frames > 0 else "after"
    return f"{abs(frames)} frame{plural} ({abs(frames) / FPS:.2f} s; the sound is {which} the mouth)"


def dubbed_text(summary: DubSummary) -> str:
    """What was dubbed, as Markdown."""
    lines = [
        f"{summary.duration_s:.1f} s, {summary.width}x{summary.height} pixels; a mouth was generated in "
        f"{summary.num_dubbed} of {summary.num_frames} frames."
    ]
    if summary.num_missing:
        lines.append(f"{summary.num_missing} frames do not show the face and were left as they are.")
    lines += [f"Note: {_without_folder(note)}." for note in summary.notes]
    return "\n\n".join(lines)


def _without_folder(note: str) -> str:
    """A note that begins with a path, with the name of the file instead."""
    path, colon, text = note.partition(": ")
    return f"{PurePath(path).name}: {text}" if colon and "/" in path else note


def progress_text(progress: PhaseProgress) -> str:
    """Such as ``generating frames: 40 of 100, 40%, about 0:20 left``."""
    if progress.num_total is None:
        return f"{progress.phase}: {progress.num_done}" if progress.num_done else progress.phase
    left = ""
    if progress.left_s is not None and progress.num_done < progress.num_total:
        left = f", about {duration_text(progress.left_s)} left"
    share = progress.num_done / progress.num_total
    return f"{progress.phase}: {progress.num_done} of {progress.num_total}, {share:.0%}{left}"


def without_upload_folders(text: str, folder: str) -> str:
    """The text with the names of uploads and results instead of their paths. ``folder``: the app's work folder."""
    return re.sub(rf"{re.escape(folder)}/[^/\s]+/", "", text)


def error_text(text: str, folder: str) -> str:
    """An error as the page shows it: without options of the command line and without paths below ``folder``."""
    text = without_upload_folders(text, folder)
    for pattern, replacement in _PAGE_WORDS:
        text = re.sub(pattern, replacement, text)
    return text
