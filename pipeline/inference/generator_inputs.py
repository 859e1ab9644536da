"""Inputs of the generators as arrays, and the state between chunks of a clip. The module imports no torch.

Legend: N frames, F audio features, L steps, C channels, S pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models.choices import MEL_CONTEXT
from pipeline.core.errors import DataError
from pipeline.features import alignment
from pipeline.features.alignment import FPS
from pipeline.features.array_file import ArrayRows
from pipeline.features.mel import mel_spectrogram
from pipeline.features.mfcc import mfcc


class AudioSource(Protocol):
    """Speech as mel spectrogram and as samples, such as ``Clip``, ``ExtractedAudio`` and the voices of dubs."""

    @property
    def mel(self) -> ArrayRows[np.float32]:
        """float32 [L, 80], 80 columns/s."""

    @property
    def audio(self) -> ArrayRows[np.int16]:
        """int16 [n], 16 kHz mono."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class ExtractedAudio:
    """Speech that does not belong to a stored clip. ``mel``: float32 [L, 80]; ``audio``: int16 [n], 16 kHz mono."""

    mel: NDArray[np.float32]
    audio: NDArray[np.int16]

    @classmethod
    def silent(cls, num_samples: int) -> ExtractedAudio:
        """Silence of ``num_samples`` samples at 16 kHz."""
        return cls(mel_spectrogram(np.zeros(num_samples, np.float32)), np.zeros(num_samples, np.int16))


FrameIndices = NDArray[np.int64] | range
AudioWindows = Callable[[AudioSource, FrameIndices, float], NDArray[np.float32]]
"""Audio source, frame indices and frame rate in 1/s -> one window per frame, float32 [N, F, L]."""


@dataclass
class GeneratorState:
    """Recurrent state of a generator. Pass the same object with each consecutive chunk of a clip."""

    lstm: tuple[Any, Any] | None = None
    """Hidden and cell state, tensors or arrays as in the runtime of the generator: float [1, 1, H] each."""


def mel_windows(num_columns: int, late_s: float = 0.0, context: tuple[int, int] = (0, 0)) -> AudioWindows:
    """Function that returns mel windows, centred ``late_s`` seconds after the middle of each frame.

    Each window is extended by the numbers of columns in ``context``, before it and after it.
    """
    before, after = context

    def audio_windows(voice: AudioSource, frames: FrameIndices, fps: float = FPS) -> NDArray[np.float32]:
        lead = alignment.centred_lead_frames(fps, num_columns) - late_s * fps + before / alignment.MEL_RATE_HZ * fps
        return alignment.frame_mel_windows(voice.mel, frames, fps, lead, before + num_columns + after)

    return audio_windows


def cepstrum_windows(num_coefficients: int, num_steps: int) -> AudioWindows:
    """Function that returns windows of MFCC without the first coefficient, which is the loudness."""

    def audio_windows(voice: AudioSource, frames: FrameIndices, fps: float = FPS) -> NDArray[np.float32]:
        return alignment.frame_mfcc_windows(_coefficients(voice, num_coefficients), frames, num_steps, fps)

    return audio_windows


@functools.lru_cache(maxsize=1)  # dubbing requests a long video's windows in many small chunks
def _coefficients(voice: AudioSource, num: int) -> NDArray[np.float32]:
    return mfcc(voice.audio[:])[:, 1 : 1 + num]


FaceOrder = Literal["pose_reference", "reference_pose", "stills"]
"""Channels of a face input: the target without its lower half and a reference, in this order; or stills only."""


@dataclass(frozen=True, kw_only=True)
class ArrayInputs:
    """Inputs of one kind of generator as arrays.

    `GeneratorKind` takes its audio windows from here, and has a face input of its own, for tensors.
    """

    faces: FaceOrder = "pose_reference"
    feature: Literal["mel", "mfcc"] = "mel"
    late_s: float = 0.0
    """Time by which the centres of the mel windows are late, s."""
    mel_context: tuple[int, int] = (0, 0)
    """Columns before and after each mel window that the generator reads too."""

    def audio_windows(self, num_features: int, num_steps: int) -> AudioWindows:
        """The function for windows of this size, [F, L]. The number of mel features is that of the speech, 80."""
        if self.feature == "mfcc":
            return cepstrum_windows(num_features, num_steps)
        return mel_windows(num_steps - sum(self.mel_context), self.late_s, self.mel_context)

    def face_input(
        self, crops: NDArray[np.uint8], references: NDArray[np.uint8], num_channels: int
    ) -> NDArray[np.float32]:
        """Crops and references uint8 [N, S, S, 3] BGR -> float32 [N, C, S, S] in [0, 1]."""
        target, reference = (
            images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255) for images in (crops, references)
        )
        if self.faces == "stills":
            return np.tile(reference, (1, num_channels // 3, 1, 1))
        target[:, :, target.shape[2] // 2 :] = 0
        both = (target, reference) if self.faces == "pose_reference" else (reference, target)
        return np.concatenate(both, axis=1)


ARRAY_INPUTS: Mapping[str, ArrayInputs] = {
    "generator": ArrayInputs(),
    "generator_long": ArrayInputs(),
    "generator_context": ArrayInputs(mel_context=MEL_CONTEXT["context"]),
    "generator_context_long": ArrayInputs(mel_context=MEL_CONTEXT["context"]),
    "generator_context_both": ArrayInputs(mel_context=MEL_CONTEXT["context_both"]),
    "generator_context_both_long": ArrayInputs(mel_context=MEL_CONTEXT["context_both"]),
    "wav2lip_released": ArrayInputs(late_s=1 / FPS),
    "lipgan": ArrayInputs(faces="reference_pose"),
    "lipgan_short": ArrayInputs(faces="reference_pose"),
    "speech2vid": ArrayInputs(faces="stills", feature="mfcc"),
}
"""Kind of a saved generator -> its inputs."""


def require_finite(is_finite: bool) -> None:
    """Raises DataError if a generator returned values that are not finite."""
    if not is_finite:
        raise DataError(
            "the generator returned values that are not finite; lower train_gan.learning_rate, or set "
            "train_gan.precision to fp32, in params.yaml, then run dvc repro"
        )
