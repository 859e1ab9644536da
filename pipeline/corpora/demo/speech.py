"""Synthesised speech with phoneme times for the demo corpus: espeak-ng through its shared library."""

from __future__ import annotations

import _ctypes
import ctypes
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.features.alignment import SAMPLE_RATE_HZ
from pipeline.media.audio import resample

_SYNCHRONOUS = 2
_PHONEME_EVENTS_IPA = 0x0001 | 0x0002
_DO_NOT_EXIT = 0x8000
_UTF8 = 1
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4
_EVENT_END_OF_LIST, _EVENT_PHONEME = 0, 7
_RMS = 0.09
_PEAK = 0.97


@dataclass(frozen=True)
class Voice:
    """An espeak-ng voice: ``name`` such as "en-us+f2", pitch and pitch range in 0..99, rate in words/min."""

    name: str
    pitch: int
    pitch_range: int
    rate: int


@dataclass(frozen=True)
class Phone:
    """One phoneme: IPA with stress marks ("" for a pause), start and end in seconds."""

    ipa: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class SynthesisedSpeech:
    """``samples``: float32 [n] in [-1, 1] at 16 kHz. Phones are in order and without gaps."""

    samples: NDArray[np.float32]
    phones: tuple[Phone, ...]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def synthesise(text: str, voice: Voice, rate: int | None = None) -> SynthesisedSpeech:
    """The speech for ``text``, normalised in loudness. ``rate`` (words/min) overrides the voice's rate.

    Equal arguments give equal samples. espeak-ng keeps random and filter state between utterances, so the library is
    loaded anew for each call. Raises UserError if espeak-ng is missing or cannot start, and RuntimeError if it has no
    such voice or returns no speech.
    """
    folder = _find_espeak()
    library = ctypes.CDLL(str(folder / "libespeak-ng.so"))
    try:
        rate_hz, raw, marks = _speak(library, folder, text, voice, rate or voice.rate)
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)
    samples = _level(resample(raw.astype(np.float32) / np.float32(32768.0), rate_hz, SAMPLE_RATE_HZ))
    ends = [start for start, _ in marks[1:]] + [len(raw)]
    phones = tuple(Phone(name, start / rate_hz, end / rate_hz) for (start, name), end in zip(marks, ends, strict=True))
    return SynthesisedSpeech(samples, phones)


def _speak(
    library: ctypes.CDLL, folder: Path, text: str, voice: Voice, rate: int
) -> tuple[int, NDArray[np.int16], list[tuple[int, str]]]:
    """The sample rate in Hz, int16 samples [n], and (first sample, IPA) of every phoneme."""
    options = _PHONEME_EVENTS_IPA | _DO_NOT_EXIT
    rate_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, str(folder).encode(), options)
    if rate_hz <= 0:
        raise UserError(
            f"espeak-ng cannot start with the data in {folder}; run `pip install --force-reinstall espeakng-loader`"
        )
    blocks: list[NDArray[np.int16]] = []
    marks: list[tuple[int, str]] = []

    def collect(wave, num_samples: int, events) -> int:  # type: ignore[no-untyped-def]
        if wave and num_samples > 0:
            blocks.append(np.ctypeslib.as_array(wave, (num_samples,)).copy())
        i = 0
        while events[i].type != _EVENT_END_OF_LIST:
            if events[i].type == _EVENT_PHONEME:
                marks.append((events[i].sample, events[i].id.string.decode(errors="ignore")))
            i += 1
        return 0

    callback = _Callback(collect)
    library.espeak_SetSynthCallback(callback)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise RuntimeError(f"espeak-ng has no voice {voice.name!r}")
    library.espeak_SetParameter(_PARAMETER_RATE, rate, 0)
    library.espeak_SetParameter(_PARAMETER_PITCH, voice.pitch, 0)
    library.espeak_SetParameter(_PARAMETER_RANGE, voice.pitch_range, 0)
    content = text.encode() + b"\0"
    status = library.espeak_Synth(content, ctypes.c_size_t(len(content)), 0, 1, 0, _UTF8, None, None)
    if status != 0 or not blocks or not marks:
        raise RuntimeError(f"espeak-ng returned no speech for {text!r} (status {status})")
    return rate_hz, np.concatenate(blocks), marks


def _level(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to the same RMS for all voices, with soft limiting of peaks."""
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    x = samples * np.float32(_RMS / max(rms, 1e-6))
    knee = 0.6
    over = np.maximum(np.abs(x) - knee, 0.0) / (_PEAK - knee)
    soft = knee + (_PEAK - knee) * np.tanh(over)
    return np.where(np.abs(x) > knee, np.sign(x) * soft, x).astype(np.float32)


def _find_espeak() -> Path:
    """The folder of espeak-ng's library and data in the package ``espeakng_loader``."""
    spec = importlib.util.find_spec("espeakng_loader")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("espeak-ng is missing; run `pip install espeakng-loader`")
    return Path(spec.submodule_search_locations[0])
