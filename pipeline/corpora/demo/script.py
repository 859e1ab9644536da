"""The speech of a demo clip: the speaker's voice, and a sentence that fills the clip's duration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.corpora.demo.portrait import make_look
from pipeline.corpora.demo.sentences import compose, compose_short
from pipeline.corpora.demo.speech import Phone, SynthesisedSpeech, Voice, synthesise
from pipeline.features.alignment import SAMPLE_RATE_HZ

_HEAD_SILENCE_S = 0.06
_TAIL_SILENCE_S = 0.05
_FEMALE_VOICES = ("en-us+f2", "en+f5", "en-gb-x-rp+f3", "en-us+f4", "en-gb-scotland+f1", "en+f2")
_MALE_VOICES = ("en+m3", "en-us+m1", "en-gb-x-rp+m7", "en-us+m4", "en-gb-scotland+m2", "en+m5")


def speak_clip(speaker: int, clip: int, num_samples: int, seed: int) -> tuple[SynthesisedSpeech, str]:
    """Speech of exactly ``num_samples`` samples at 16 kHz, and its words in capitals."""
    rng = np.random.default_rng([seed, speaker, clip, 0x5A1D])
    voice = voice_of(speaker, seed)
    room = num_samples / SAMPLE_RATE_HZ - _HEAD_SILENCE_S - _TAIL_SILENCE_S
    text, speech = _fit(rng, voice, room)
    samples = np.zeros(num_samples, np.float32)
    start = round(_HEAD_SILENCE_S * SAMPLE_RATE_HZ)
    spoken = speech.samples[: num_samples - start]
    samples[start : start + len(spoken)] = spoken
    shift = start / SAMPLE_RATE_HZ
    phones = tuple(Phone(p.ipa, p.start_s + shift, p.end_s + shift) for p in speech.phones)
    return SynthesisedSpeech(samples, phones), text.upper()


def _fit(rng: np.random.Generator, voice: Voice, room_s: float) -> tuple[str, SynthesisedSpeech]:
    """A sentence that lasts 92 to 100 % of ``room_s`` at about the voice's rate, or the closest one found."""
    num_clauses = max(1, round(room_s / 2.4))
    best: tuple[float, str, SynthesisedSpeech] | None = None
    for attempt in range(40):
        text = compose_short(rng) if room_s < 1.6 else compose(rng, num_clauses)
        speech = _trimmed(synthesise(text, voice))
        ratio = speech.duration_s / room_s
        if not 0.85 <= ratio <= 1.20 and attempt < 30:
            num_clauses = max(1, num_clauses + (ratio < 0.75) - (ratio > 1.3))
            continue
        rate = voice.rate
        for _ in range(3):
            if 0.92 <= speech.duration_s / room_s <= 1.0:
                return text, speech
            rate = round(rate * speech.duration_s / (0.965 * room_s))
            speech = _trimmed(synthesise(text, voice, rate))
        miss = abs(speech.duration_s / room_s - 0.96)
        if best is None or miss < best[0]:
            best = miss, text, speech
    assert best is not None
    return best[1], best[2]


def _trimmed(speech: SynthesisedSpeech) -> SynthesisedSpeech:
    """Without the silence that espeak-ng adds after the last phoneme."""
    end = max(p.end_s for p in speech.phones if p.ipa)
    loud = np.flatnonzero(np.abs(speech.samples) > 0.004)
    stop = min(max(int(end * SAMPLE_RATE_HZ), 1), int(loud[-1]) + 1 if len(loud) else 1)
    samples: NDArray[np.float32] = speech.samples[:stop].copy()
    fade = min(80, stop)
    samples[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return SynthesisedSpeech(samples, tuple(p for p in speech.phones if p.start_s < end))


def voice_of(speaker: int, seed: int) -> Voice:
    """A speaker's voice. It differs between speakers and fits the face."""
    look = make_look(speaker, seed)
    rng = np.random.default_rng([seed, speaker, 0x701CE])
    names = _FEMALE_VOICES if look.is_feminine else _MALE_VOICES
    return Voice(
        name=names[(speaker // 2) % len(names)],
        pitch=int(rng.integers(42, 64) if look.is_feminine else rng.integers(30, 58)),
        pitch_range=int(rng.integers(40, 75)),
        rate=int(rng.integers(152, 182)),
    )
