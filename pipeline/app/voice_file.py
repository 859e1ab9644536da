"""Writes the sound of an uploaded video to a file that the page plays."""

from __future__ import annotations

import wave
from pathlib import Path

from pipeline.dubbing.speech import usable_samples
from pipeline.features.samples import float_to_int16
from pipeline.media.file import MediaFile


def write_sound(video: Path, path: Path) -> None:
    """Write the sound of ``video`` as 16-bit WAV at its own rate. Raises MediaError if it has no usable sound."""
    with MediaFile(video) as media, wave.open(str(path), "wb") as file:
        for number, block in enumerate(media.sound("sound")):
            if number == 0:
                file.setparams((block.samples.shape[1], 2, block.rate_hz, 0, "NONE", ""))
            file.writeframes(float_to_int16(usable_samples(block.samples)[0]).tobytes())
