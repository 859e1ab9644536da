"""The voices of several segments on the time line of the video, whose own sound plays between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.dubbing.segments import DubSegment, require_order
from pipeline.dubbing.speech import BIT_RATE, note_silence, usable_samples
from pipeline.features.alignment import NUM_MELS, SAMPLE_RATE_HZ
from pipeline.features.array_file import ArrayFile, ArrayRows, in_blocks
from pipeline.features.mel import mel_blocks
from pipeline.features.samples import float_to_int16, int16_to_float
from pipeline.media.audio import Begin, BlockReader, Float32, SoundBlock, StreamResampler, mono_blocks
from pipeline.media.errors import CorruptMediaError
from pipeline.media.file import MediaFile
from pipeline.media.input_video import InputVideo
from pipeline.media.output_sound import EncodedSound, OutputSound

OUTPUT_RATE_HZ, OUTPUT_CHANNELS = 48_000, 2
FADE_S = 0.01
"""Length of the change between the sound of the video and a voice, s."""
STATED_TOLERANCE_S = 1.0
"""A video may be longer than its file states, by less than this. Features end there."""
_BLOCK_SAMPLES = 4800


@dataclass(frozen=True, eq=False)
class SegmentPart:
    """A segment, the file of its voice, and its time in the video.

    ``speech_end_s``: when the voice would end if nothing cut it.
    """

    segment: DubSegment
    media: MediaFile
    begin: Begin
    start_s: float
    end_s: float
    speech_end_s: float


@dataclass(frozen=True, eq=False)
class SegmentVoice:
    """The voices of the segments, with silence between them. Implements ``DubVoice``."""

    video: InputVideo
    parts: Sequence[SegmentPart]
    mel: ArrayRows[np.float32]
    audio: ArrayRows[np.int16]

    @property
    def duration_s(self) -> Fraction:
        return Fraction(len(self.audio), SAMPLE_RATE_HZ)

    def output(self, *, is_whole: bool) -> OutputSound:
        """The video's own sound, in which each segment is replaced by its voice."""
        num_samples = int(self.duration_s * OUTPUT_RATE_HZ)
        return EncodedSound(self._blocks(), OUTPUT_RATE_HZ, OUTPUT_CHANNELS, num_samples, BIT_RATE)

    def _blocks(self) -> Iterator[Float32]:
        own = self.video.sound() if self.video.header.has_audio else iter(())
        own_sound, voices = (BlockReader(blocks, OUTPUT_CHANNELS) for blocks in (_stereo(own), self._voices()))
        position = 0
        while len(block := own_sound.take(_BLOCK_SAMPLES)) or not voices.is_at_end:
            num = _BLOCK_SAMPLES
            share = self._share(np.arange(position, position + num) / OUTPUT_RATE_HZ)[:, None]
            yield (1 - share) * _filled(block, num) + share * _filled(voices.take(num), num)
            position += num

    def _voices(self) -> Iterator[Float32]:
        position = 0
        for part in self.parts:
            start, stop = (round(time_s * OUTPUT_RATE_HZ) for time_s in (part.start_s, part.end_s))
            yield from _silence(start - position)
            remaining = stop - start
            for block in _stereo(part.media.sound(part.begin)):
                yield block[:remaining]
                remaining -= len(block[:remaining])
                if remaining == 0:
                    break
            yield from _silence(remaining)
            position = stop

    def _share(self, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """Share of the voices in the sound at these times, 0..1."""
        share = np.zeros(len(times_s))
        for part in self.parts:
            inside_s = np.minimum(times_s - part.start_s, part.end_s - times_s)
            share = np.maximum(share, np.clip(inside_s / FADE_S, 0, 1))
        return share.astype(np.float32)


def load_segments(
    video: InputVideo, segments: Sequence[DubSegment], files: Sequence[MediaFile], begins: Sequence[Begin]
) -> SegmentVoice:
    """Read the voices of the segments. ``files``: the open file of each voice; ``begins``: where its speech begins.

    A voice that is longer than its segment is cut. Raises MediaError for an unusable file,
    UserError for segments that are not in order or start after the end of the video.
    """
    limit_s = video.header.duration_s + STATED_TOLERANCE_S if video.header.duration_s else math.inf
    for segment in segments:
        if segment.start_s >= limit_s:
            raise after_end(segment, video)
    parts, spoken = [], []
    for segment, file, begin in zip(segments, files, begins, strict=True):
        blocks = mono_blocks(_usable_blocks(file.sound(begin)), SAMPLE_RATE_HZ)
        samples = ArrayFile(np.int16).extend(map(float_to_int16, blocks))
        if not len(samples):
            raise CorruptMediaError(file.path, "its audio ends before its video begins")
        length_s = len(samples) / SAMPLE_RATE_HZ
        end_s = segment.start_s + length_s if segment.end_s is None else segment.end_s
        note_silence(file, samples)
        parts.append(SegmentPart(segment, file, begin, segment.start_s, end_s, segment.start_s + length_s))
        spoken.append(samples)
    require_order([(part.start_s, part.end_s) for part in parts])
    num_samples = round(min(parts[-1].end_s, limit_s) * SAMPLE_RATE_HZ)
    audio = ArrayFile(np.int16).extend(_placed(parts, spoken, num_samples))
    mel = ArrayFile(np.float32, (NUM_MELS,)).extend(mel_blocks(map(int16_to_float, in_blocks(audio))))
    return SegmentVoice(video, parts, mel, audio)


def _placed(
    parts: Sequence[SegmentPart], spoken: Sequence[ArrayRows[np.int16]], num_samples: int
) -> Iterator[NDArray[np.int16]]:
    """The voices ``spoken`` of the parts at their times, and silence between them: ``num_samples`` at 16 kHz."""
    position = 0
    for part, samples in zip(parts, spoken, strict=True):
        start, stop = (min(num_samples, round(time_s * SAMPLE_RATE_HZ)) for time_s in (part.start_s, part.end_s))
        yield from (np.zeros(len(block), np.int16) for block in _silence(start - position))
        yield from in_blocks(samples, stop - start)
        position = start + min(stop - start, len(samples))
    yield from (np.zeros(len(block), np.int16) for block in _silence(num_samples - position))


def after_end(segment: DubSegment, video: InputVideo) -> UserError:
    """The error for a segment that starts after the end of the video."""
    return UserError(f"a segment starts at {segment.start_s:g} s, after the end of {video.path}")


def _stereo(blocks: Iterable[SoundBlock]) -> Iterator[Float32]:
    resampler: StreamResampler | None = None
    for block in _usable_blocks(blocks):
        samples = np.repeat(block.samples, OUTPUT_CHANNELS // block.samples.shape[1], axis=1)
        resampler = resampler or StreamResampler(block.rate_hz, OUTPUT_RATE_HZ, OUTPUT_CHANNELS)
        yield resampler.add(samples)
    if resampler is not None:
        yield resampler.finish()


def _usable_blocks(blocks: Iterable[SoundBlock]) -> Iterator[SoundBlock]:
    return (block._replace(samples=usable_samples(block.samples)[0]) for block in blocks)


def _silence(num: int) -> Iterator[Float32]:
    for start in range(0, num, _BLOCK_SAMPLES):
        yield np.zeros((min(_BLOCK_SAMPLES, num - start), OUTPUT_CHANNELS), np.float32)


def _filled(samples: Float32, num: int) -> Float32:
    return np.pad(samples, ((0, num - len(samples)), (0, 0)))
