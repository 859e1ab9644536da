"""The generator in a stream of frames: its interface, and its recurrent state."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.choices import CropGeometry
from pipeline.dubbing.timing import OutputTiming
from pipeline.inference.generator_inputs import AudioSource, FrameIndices, GeneratorState

Crops = NDArray[np.uint8]


class GenerateMouths(Protocol):
    """Interface of a generator, such as ``MouthGenerator``."""

    @property
    def geometry(self) -> CropGeometry:
        """What its crops show of the face."""

    @property
    def crop_px(self) -> int:
        """S, side of its crops in pixels."""

    def audio_windows(self, voice: AudioSource, frames: FrameIndices, fps: float) -> NDArray[np.float32]:
        """One audio window per frame: float32 [N, F, L]."""

    def __call__(
        self,
        crops: Crops,
        windows: NDArray[np.float32],
        references: Crops,
        state: GeneratorState,
    ) -> Crops:
        """Generate crops from crops, their audio windows and reference crops; all crops are uint8 [N, S, S, 3]."""


class MouthStream:
    """The mouths of a stream. A recurrent generator starts anew after frames that got no mouth."""

    def __init__(self, generate: GenerateMouths, voice: AudioSource, timing: OutputTiming) -> None:
        self._generate, self._voice, self._timing = generate, voice, timing
        self._state, self._next_place = GeneratorState(), 0

    def __call__(self, places: NDArray[np.int64], crops: Crops, references: Crops) -> Crops:
        """``places: int [N]``: places of the faces in the stream, ascending; all crops are uint8 [N, S, S, 3]."""
        windows = self._generate.audio_windows(self._voice, *self._timing.windows_at(places))
        mouths = []
        for run in np.split(np.arange(len(places)), np.flatnonzero(np.diff(places) != 1) + 1):
            if places[run[0]] != self._next_place:
                self._state = GeneratorState()
            mouths.append(self._generate(crops[run], windows[run], references[run], self._state))
            self._next_place = int(places[run[-1]]) + 1
        return np.concatenate(mouths)
