"""Checks the output of a dub before anything is computed."""

from __future__ import annotations

from pathlib import Path

from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.media.writer import require_video_name


def require_output(out: Path, face: Path, audio: Path) -> None:
    """Raises UserError if ``out`` cannot be written, or is one of the inputs. Creates its folder.

    Also removes what earlier dubs to ``out`` left behind when they were killed.
    """
    require_video_name(out)
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; give a file, such as {out / 'out.mp4'}")
    for flag, read in (("--face", face), ("--audio", audio)):
        if out.exists() and read.exists() and out.samefile(read):
            raise UserError(f"--out {out} is the same file as {flag}; choose another name for --out")
    atomic.require_writable(out, "--out")
    atomic.remove_abandoned(out)
