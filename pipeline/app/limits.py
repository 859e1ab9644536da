"""Checks of uploaded files against the limits of the web app."""

from __future__ import annotations

import math
from pathlib import Path

from pipeline.app.settings import AppLimits
from pipeline.core.errors import UserError
from pipeline.dubbing.phases import OnProgress, PhaseProgress
from pipeline.dubbing.speech import SILENT_RMS, usable_samples
from pipeline.media.audio import SoundBlock, rms_of
from pipeline.media.errors import MediaError
from pipeline.media.file import MediaFile
from pipeline.media.pixel_limit import require_few_pixels

LENGTH_TOLERANCE_S = 0.5
"""A file may be longer than the limit by this: encoders pad, and messages round to seconds."""
MAX_PIXELS = 40_000_000
"""Largest picture that is decoded to measure it, at least; 120 MB in BGR."""
MAX_FPS = 240
"""Most frames in a second of the longest video."""


def require_face(path: Path, limits: AppLimits) -> None:
    """Raises UserError unless the file is a video within the limits, or a picture. Decodes no larger picture.

    The length is what the header states and what the packets of the video show, since headers may be wrong and the
    frame rate may vary. The message names the file, not its folder.
    """
    _require_size(path, limits)
    try:
        require_few_pixels(path, _max_pixels(limits))
        with MediaFile(path) as media:
            display, stated_s = media.display, media.header.duration_s
            is_long = any(_is_over(end_s, limits) for end_s in media.packet_ends_s())
    except MediaError as error:
        raise UserError(f"{path.name} cannot be used as the face: {error.detail}") from None
    if max(display.width, display.height) > limits.max_side_px:
        raise UserError(
            f"{path.name} has {display.width}x{display.height} pixels; allowed are {limits.max_side_px} a side. Make "
            "it smaller and upload it again"
        )
    if is_long or _is_over(stated_s, limits):
        raise _too_long(path, limits, stated_s)


def require_voice(path: Path, limits: AppLimits) -> None:
    """Raises UserError unless the file has sound within the limits that is not silent.

    The sound is decoded up to the limit, since headers may be wrong. The message names the file, not its folder.
    """
    _require_size(path, limits)
    try:
        require_few_pixels(path, _max_pixels(limits))  # of cover art
        with MediaFile(path) as media:
            length_s = energy = 0.0
            for block in media.sound():
                length_s += len(block.samples) / block.rate_hz
                energy += _mean_square(block) * len(block.samples) / block.rate_hz
                if _is_over(length_s, limits):
                    break
    except MediaError as error:
        raise UserError(f"{path.name} cannot be used as the voice: {error.detail}") from None
    if length_s == 0:
        raise UserError(f"{path.name} cannot be used as the voice: its sound is empty")
    if _is_over(length_s, limits):
        raise _too_long(path, limits)
    if math.sqrt(energy / length_s) < SILENT_RMS:
        raise UserError(f"{path.name} cannot be used as the voice: its sound is silent")


def watch_frames(path: Path, limits: AppLimits, on_progress: OnProgress) -> OnProgress:
    """A progress function that also raises UserError if a phase has more than ``MAX_FPS`` frames a second.

    It stops a file with so many frames in a short time that they would occupy the app for long.
    """
    most = MAX_FPS * limits.max_seconds

    def watch(progress: PhaseProgress) -> None:
        if progress.num_done > most:
            raise UserError(f"{path.name} has more than {most} frames; allowed are {MAX_FPS} a second")
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


def _mean_square(block: SoundBlock) -> float:
    """Mean power of a block in mono; 0 for an empty one."""
    return rms_of(usable_samples(block.samples)[0].mean(axis=1)) ** 2


def _max_pixels(limits: AppLimits) -> int:
    return max(MAX_PIXELS, limits.max_side_px**2)


def _is_over(length_s: float, limits: AppLimits) -> bool:
    return length_s > limits.max_seconds + LENGTH_TOLERANCE_S


def _too_long(path: Path, limits: AppLimits, stated_s: float = 0.0) -> UserError:
    """``stated_s``: the length in the header, which is named if it is plausible."""
    if _is_over(stated_s, limits) and stated_s <= 10 * limits.max_seconds:
        fault = f"lasts {stated_s:.0f} s; allowed are {limits.max_seconds} s"
    else:
        fault = f"lasts more than {limits.max_seconds} s; longer files are not allowed"
    return UserError(f"{path.name} {fault}. Cut it and upload it again")
