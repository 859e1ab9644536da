"""The speech of a dub: its features for the generator, and its sound for the written video.

The sound is decoded twice, once for the features and once while the video is written. The features, 3.5 MB a minute at
any sample rate, are in temporary files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pipeline.features.alignment import NUM_MELS, SAMPLE_RATE_HZ
from pipeline.features.array_file import ArrayFile, ArrayRows, in_blocks
from pipeline.features.mel import mel_blocks
from pipeline.features.samples import float_to_int16, int16_to_float
from pipeline.media.audio import Begin, Float32, SoundBlock, mono_blocks
from pipeline.media.errors import CorruptMediaError
from pipeline.media.file import MediaFile
from pipeline.media.output_sound import CopiedSound, EncodedSound, OutputSound

SILENT_RMS = 0.0005
"""Sound with a lower RMS, 0..1, has no speech; ``preprocess.min_audio_rms`` rejects such clips."""
BIT_RATE = 160_000
"""Bits per second of speech that is encoded: more than AAC needs for two channels."""


@dataclass(frozen=True, eq=False)
class SpeechTrack:
    """Speech of the output and its features for the generator. Implements ``AudioSource``.

    ``num_samples`` with ``num_channels`` at ``rate_hz``; ``mel: float32 [L, 80]`` at 80 columns/s; ``audio: int16 [m]``
    at 16 kHz. ``media`` must stay open.
    """

    media: MediaFile
    begin: Begin
    rate_hz: int
    num_channels: int
    num_samples: int
    is_as_stored: bool
    """Whether the stored packets, without the first and the last of them cut, play as the decoded samples."""
    mel: ArrayRows[np.float32]
    audio: ArrayRows[np.int16]

    @property
    def duration_s(self) -> Fraction:
        return Fraction(self.num_samples, self.rate_hz)

    def output(self, *, is_whole: bool) -> OutputSound:
        """The sound for the written video. ``is_whole``: whether the video is as long as the speech.

        AAC that is used as a whole is copied. Browsers play no other codec of these containers everywhere. Other sound
        is encoded with ``BIT_RATE``.
        """
        start_s = self.media.sound_start_s
        if is_whole and self.is_as_stored and start_s is not None and self.media.is_plain_aac:
            return CopiedSound(self.media.sound_packets(), self.duration_s, start_s)
        blocks = (usable_samples(block.samples)[0] for block in self.media.sound(self.begin))
        return EncodedSound(blocks, self.rate_hz, self.num_channels, self.num_samples, BIT_RATE)


def note_silence(media: MediaFile, audio: ArrayRows[np.int16]) -> None:
    """Note on ``media`` if its speech, int16 [n] at 16 kHz, is silent."""
    power = sum(float(np.square(int16_to_float(block)).sum(dtype=np.float64)) for block in in_blocks(audio))
    if (rms := math.sqrt(power / max(1, len(audio)))) < SILENT_RMS:
        media.note(f"its sound is silent (RMS {rms:.6f}), so the mouth does not speak")


def load_speech(media: MediaFile, begin: Begin = "sound") -> SpeechTrack:
    """Compute the features of an audio file or of the audio of a video.

    NaN and infinite samples become silence, with a note on ``media``. Raises MediaError if no audio is usable.
    """
    reading = _Reading()
    audio = ArrayFile(np.int16)

    def copied_blocks() -> Iterator[Float32]:
        for block in mono_blocks(reading.usable(media.sound(begin)), SAMPLE_RATE_HZ):
            audio.append(float_to_int16(block))
            yield block

    mel = ArrayFile(np.float32, (NUM_MELS,)).extend(mel_blocks(copied_blocks()))
    if not reading.num_samples:
        raise CorruptMediaError(media.path, "its audio ends before its video begins")
    if reading.num_bad:
        media.note(f"{reading.num_bad} audio samples are NaN or infinite; they are replaced by silence")
    is_as_stored = reading.is_as_stored and not reading.num_bad
    return SpeechTrack(
        media, begin, reading.rate_hz, reading.num_channels, reading.num_samples, is_as_stored, mel, audio
    )


@dataclass
class _Reading:
    """What one pass over the sound finds."""

    rate_hz: int = 0
    num_channels: int = 0
    num_samples: int = 0
    num_bad: int = 0
    is_as_stored: bool = True

    def usable(self, blocks: Iterator[SoundBlock]) -> Iterator[SoundBlock]:
        for block in blocks:
            samples, num_bad = usable_samples(block.samples)
            self.rate_hz, self.num_channels = block.rate_hz, samples.shape[1]
            self.num_samples += len(samples)
            self.num_bad += num_bad
            self.is_as_stored &= block.is_as_stored
            yield block._replace(samples=samples)


def usable_samples(samples: Float32) -> tuple[Float32, int]:
    """The samples within [-1, 1], with silence for NaN and infinity, and the number of these."""
    num_bad = int(samples.size - np.isfinite(samples).sum())
    if num_bad:
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(samples, -1.0, 1.0), num_bad
