"""Checks of uploaded files against the limits of the web app."""

from __future__ import annotations

import math
from pathlib import Path

from pipeline.app.settings import AppLimits
from pipeline.core.errors import UserError
from pipeline.dubbing.phases import OnProgress, PhaseProgress
from pipeline.media.errors import MediaError
from pipeline.media.file import MediaFile


def require_face(path: Path, limits: AppLimits) -> None:
    """Raises UserError unless the file is a video within the limits, or a picture.

    The message names the file, not its folder.
    """
    _require_size(path, limits)
    try:
        with MediaFile(path) as media:
            display, stated_s = media.display, media.header.duration_s
    except MediaError as error:
        raise UserError(f"{path.name} cannot be used as the face: {error.detail}") from None
    if max(display.width, display.height) > limits.max_side_px:
        raise UserError(
            f"{path.name} has {display.width}x{display.height} pixels; allowed are {limits.max_side_px} a side. Make "
            "it smaller and upload it again"
        )
    _require_length(path, stated_s, limits)


def require_voice(path: Path, limits: AppLimits) -> None:
    """Raises UserError unless the file has sound within the limits.

    The sound is decoded up to the limit, since headers may be wrong. The message names the file, not its folder.
    """
    _require_size(path, limits)
    try:
        with MediaFile(path) as media:
            length_s = 0.0
            for block in media.sound():
                length_s += len(block.samples) / block.rate_hz
                if length_s > limits.max_seconds:
                    break
    except MediaError as error:
        raise UserError(f"{path.name} cannot be used as the voice: {error.detail}") from None
    if length_s == 0:
        raise UserError(f"{path.name} cannot be used as the voice: its sound is empty")
    _require_length(path, length_s, limits)


def watch_length(path: Path, limits: AppLimits, on_progress: OnProgress) -> OnProgress:
    """A progress function that also raises UserError once more frames were decoded than the limit allows.

    It stops a video whose header states no length, or too short a one.
    """
    with MediaFile(path) as media:
        most = math.ceil(limits.max_seconds * media.fps) + 1

    def watch(progress: PhaseProgress) -> None:
        if progress.num_done > most:
            raise UserError(_too_long(path, None, limits))
        on_progress(progress)

    return watch


def _require_size(path: Path, limits: AppLimits) -> None:
    if not path.is_file():
        raise UserError(
            f"{path.name} is no longer there: files are removed after {limits.keep_minutes} minutes. Upload it again"
        )
    size_mb = path.stat().st_size / 1e6
    if size_mb > limits.max_file_mb:
        raise UserError(f"{path.name} has {size_mb:.0f} MB; allowed are {limits.max_file_mb} MB")
    if size_mb == 0:
        raise UserError(f"{path.name} is empty; upload another file")


def _require_length(path: Path, length_s: float, limits: AppLimits) -> None:
    if length_s > limits.max_seconds:
        raise UserError(_too_long(path, length_s, limits))


def _too_long(path: Path, length_s: float | None, limits: AppLimits) -> str:
    lasts = "more" if length_s is None or length_s > 10 * limits.max_seconds else f"{length_s:.0f} s"
    than = f" than {limits.max_seconds} s; longer files are not allowed" if lasts == "more" else ""
    return f"{path.name} lasts {lasts}{than or f'; allowed are {limits.max_seconds} s'}. Cut it and upload it again"
