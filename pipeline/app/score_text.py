"""Sentences on the page: the sync score of a result, what was dubbed, progress, and errors."""

from __future__ import annotations

import re
from typing import NamedTuple

from pipeline.core.durations import duration_text
from pipeline.dubbing import DubSummary, PhaseProgress
from pipeline.dubbing.sync_score import DUB_JUDGE
from pipeline.features.alignment import FPS
from pipeline.metrics.lse import VSHIFT_FRAMES

_IN_SYNC_FRAMES = 1
KEEP_MISSING = "Dub even if most frames do not show the face"
"""The option of the page that is ``--on-missing keep`` on the command line."""
_PAGE_WORDS = (
    (
        r"use --on-missing keep to keep such frames unchanged",
        f"the option \u201c{KEEP_MISSING}\u201d leaves such frames as they are",
    ),
    (r"--list-faces shows them", "the picture shows them"),
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
    text = f"**Sync score ({DUB_JUDGE}):** LSE-C {score.lse_c:.2f}, offset {_offset(score)}. A higher LSE-C is better."
    if own is None:
        return f"{text} The input with its own sound cannot be scored for comparison."
    text += f" The input with its own sound: LSE-C {own.lse_c:.2f}, offset {_offset(own)}."
    if abs(own.offset_frames) > _IN_SYNC_FRAMES:
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
    lines += [f"Note: {note.split(': ', 1)[-1]}." for note in summary.notes]
    return "\n\n".join(lines)


def progress_text(progress: PhaseProgress) -> str:
    """Such as ``generating frames: 40 of 100, 40%, about 0:20 left``."""
    if progress.num_total is None:
        return f"{progress.phase}: {progress.num_done}" if progress.num_done else progress.phase
    left = ""
    if progress.left_s is not None and progress.num_done < progress.num_total:
        left = f", about {duration_text(progress.left_s)} left"
    share = progress.num_done / progress.num_total
    return f"{progress.phase}: {progress.num_done} of {progress.num_total}, {share:.0%}{left}"


def error_text(text: str, folder: str) -> str:
    """An error as the page shows it: without options of the command line and without paths below ``folder``."""
    text = re.sub(rf"{re.escape(folder)}/[^/]+/", "", text)
    for pattern, replacement in _PAGE_WORDS:
        text = re.sub(pattern, replacement, text)
    return text
