"""Spans of speech in audio, by the network Silero VAD (MIT), which its package contains."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.core.versions import version_of
from pipeline.features.alignment import SAMPLE_RATE_HZ
from pipeline.features.samples import int16_to_float

REQUIREMENT = "silero-vad>=6.2.3,<7"
"""Earlier releases need torchaudio."""
_PACKAGE = "silero-vad"
_SETTINGS = {"threshold": 0.5, "min_speech_duration_ms": 250, "min_silence_duration_ms": 100, "speech_pad_ms": 30}
"""The defaults of the package, stated here so that another release gives the same spans."""


def has_speech_detector() -> bool:
    """Whether the package is installed. Imports nothing."""
    return version_of(_PACKAGE) is not None


class SpeechDetector:
    """Finds speech on the CPU. Raises UserError if the package is not installed."""

    def __init__(self) -> None:
        threads = torch.get_num_threads()
        try:
            import silero_vad
        except ImportError as error:
            raise UserError(f"the package {_PACKAGE} cannot be imported: {error}") from None
        finally:
            torch.set_num_threads(threads)  # its import sets one thread for the whole process
        self._network = silero_vad.load_silero_vad()
        self._find = silero_vad.get_speech_timestamps

    def __call__(self, audio: NDArray[np.int16]) -> list[tuple[int, int]]:
        """Spans of speech in ``audio: int16 [n]``, 16 kHz mono: first sample of each, and the one after its last."""
        samples = torch.from_numpy(int16_to_float(audio))
        found = self._find(samples, self._network, sampling_rate=SAMPLE_RATE_HZ, **_SETTINGS)
        return [(int(span["start"]), int(span["end"])) for span in found]
