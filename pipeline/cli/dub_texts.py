"""What ``dub`` prints: the summary of a dub, and the faces of a video."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.dubbing import DubbedFace, DubSummary, ListedFace
from pipeline.dubbing.summary import is_unclear_who_talks
from pipeline.report.tables import Table

DUB_EPILOG = """\
\b
Examples:
  dub --face clip.mp4 --audio speech.wav --out out.mp4
  dub --face clip.mp4 --list-faces faces.png                 which faces there are, and their numbers
  dub --face clip.mp4 --who 2 --audio speech.wav --out out.mp4
  dub --face clip.mp4 --who talking --audio speech.wav --out out.mp4
  dub --face film.mp4 --start 1:02 --end 1:07.5 --audio line.wav --out out.mp4
  dub --face film.mp4 --segments lines.csv --out out.mp4     lines.csv: start,end,audio,who
  dub --face clip.mp4 --drive voice.wav --audio mix.wav --in-silence keep --out out.mp4
  dub --face pictures/ --fps 30 --audio speech.wav --out out.mp4 --keep-frames frames/
\b
Formats: --face is any video that FFmpeg decodes, a picture (JPEG, PNG, TIFF, BMP, WebP, HEIC, AVIF), or a folder of
pictures of one size. --audio, --drive and the files of --segments are any sound, or videos with sound. --out is MP4,
M4V or MOV with H.264 and AAC. Inputs are files: download a URL first. docs/media.md lists unusual files.
\b
Several faces: by default the largest face is dubbed, over the whole video, and in frames without it the next largest.
A face gets a new number after a cut.
Several audio tracks: the default track is used, or the one of --audio-track; the summary names it.
"""
_MISSING_HINT = (
    "If a face is visible in the frames that were left unchanged, lower preprocess.detector_score in params.yaml or, "
    "for a small face, raise preprocess.detector_max_px."
)
MAX_LISTED = 5
"""Largest number of dubbed faces that the summary lists one by one."""


def summary_line(summary: DubSummary) -> str:
    return (
        f"{summary.path}: {summary.num_frames} frames, {summary.width}x{summary.height} at {_rate(summary)}, "
        f"{summary.duration_s:.2f} s; {summary.num_dubbed} frames dubbed, {summary.num_missing} frames without a face "
        f"left unchanged; took {summary.seconds:.1f} s ({summary.num_frames / summary.seconds:.1f} frames/s)"
        + "".join(f"\ndubbed: {_face_text(face, summary.who)}" for face in summary.faces[:MAX_LISTED])
        + (f"\ndubbed: {len(summary.faces) - MAX_LISTED} more" if len(summary.faces) > MAX_LISTED else "")
        + "".join(f"\nnote: {note}" for note in summary.notes)
        + (f"\n{_MISSING_HINT}" if summary.num_missing else "")
    )


def _rate(summary: DubSummary) -> str:
    return f"{summary.fps:.4g} fps on average" if summary.has_varying_fps else f"{summary.fps:.6g} fps"


def _face_text(face: DubbedFace, who: str) -> str:
    name = f"the {who} face" if face.number is None else f"face {face.number}"
    left, top, _, _ = face.box_px
    return (
        f"{name}, {_size(face.box_px)} px at {left},{top}, in {face.num_frames} frames from {face.start_s:.2f} s to "
        f"{face.end_s:.2f} s"
    )


def _size(box_px: tuple[int, int, int, int]) -> str:
    left, top, right, bottom = box_px
    return f"{right - left}x{bottom - top}"


def faces_text(faces: Sequence[ListedFace], video: Path, sheet: Path) -> str:
    if not faces:
        return f"{video}: no face"
    header = ("face", "from", "to", "seen", "size", "at", "talks")
    rows = [
        (
            str(face.number),
            f"{face.start_s:.2f} s",
            f"{face.end_s:.2f} s",
            f"{face.share_seen:.0%}",
            _size(face.box_px),
            f"{face.box_px[0]},{face.box_px[1]}",
            {None: "-", True: "yes", False: "no"}[face.is_talking],
        )
        for face in faces
    ]
    unclear = "\nno face clearly talks, so --who talking would stop" if is_unclear_who_talks(faces) else ""
    return f"{Table(header, rows).plain()}{unclear}\n{sheet}: their pictures; next: dub --who N"


def summary_json(found: DubSummary | Sequence[ListedFace]) -> str:
    """JSON of the fields of a summary, or of a list of faces."""
    content: Any
    if isinstance(found, DubSummary):
        content = {**asdict(found), "duration_s": found.duration_s}
    else:
        content = [asdict(face) for face in found]
    return json.dumps(content, indent=2, default=str)
