"""The kinds of generator: how each is built, what of a voice it hears, and which faces it sees.

Training, evaluation and dubbing all ask here, so a network is fed alike in each.
Legend: B batch, T frames, R references, N frames, F audio features, L steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.baselines.lipgan import MEL_STEPS, LipGANConfig, LipGANGenerator, lipgan_face_input
from models.baselines.speech2vid import NUM_MFCC, SPEECH2VID_MFCC_STEPS, Speech2Vid, Speech2VidConfig
from models.generator import Generator, GeneratorConfig, face_input
from pipeline.core.errors import UserError
from pipeline.features import alignment
from pipeline.features.alignment import FPS
from pipeline.features.mel import mel_spectrogram
from pipeline.features.mfcc import mfcc
from pipeline.inference.saved_model import parse_config


class AudioSource(Protocol):
    """Speech in the two forms that generators need; a clip is one."""

    @property
    def mel(self) -> NDArray[np.float32]:
        """float32 [L, 80], 80 columns/s."""

    @property
    def audio(self) -> NDArray[np.int16]:
        """int16 [n], 16 kHz mono."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class ExtractedAudio:
    """A voice of its own, without a clip."""

    mel: NDArray[np.float32]
    audio: NDArray[np.int16]

    @classmethod
    def silent(cls, num_samples: int) -> ExtractedAudio:
        return cls(mel_spectrogram(np.zeros(num_samples, np.float32)), np.zeros(num_samples, np.int16))


FrameIndices = NDArray[np.int64] | range


@dataclass(frozen=True)
class GeneratorKind:
    """One kind of generator. Its name is that of its saved models."""

    name: str
    build: Callable[[Mapping[str, Any]], nn.Module]
    """A network, called as ``net(audio [B, T, 1, F, L], faces [B, T, C, 96, 96])``, from its saved config."""
    audio_windows: Callable[[AudioSource, FrameIndices, float], NDArray[np.float32]]
    """Voice, frames and their rate in 1/s -> one window per frame, float32 [N, F, L]."""
    face_input: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """Target float [B, T, 3, H, W] and references [B, R, 3, H, W] in [0, 1] -> the network's faces [B, T, C, H, W]."""
    is_loudness_sensitive: bool = True
    """Whether louder speech is larger numbers in its windows."""
    parts: tuple[str, ...] = ("mel",)
    """What of a stored clip it hears."""
    num_stills: int | None = None
    """How many references every frame is shown; None: one each, R = T."""


NUM_STILLS = Speech2VidConfig().num_stills


def _stills(target_BTCHW: torch.Tensor, references_BRCHW: torch.Tensor) -> torch.Tensor:
    """Of the target nothing but its length; every frame is shown the same stills, spread over the references."""
    chosen = torch.linspace(0, references_BRCHW.shape[1] - 1, NUM_STILLS).round().long()
    stills_BCHW = references_BRCHW[:, chosen].flatten(1, 2)
    return stills_BCHW.unsqueeze(1).expand(-1, target_BTCHW.shape[1], -1, -1, -1)


def _build_speech2vid(config: Mapping[str, Any]) -> nn.Module:
    known = parse_config(Speech2VidConfig, config)
    if known.num_stills != NUM_STILLS:
        raise UserError(f"it takes {known.num_stills} stills, not {NUM_STILLS}")
    return Speech2Vid(known)


def _mel(num_columns: int, late_s: float = 0.0) -> Callable[[AudioSource, FrameIndices, float], NDArray[np.float32]]:
    """Windows centred on their frames, or that much later."""

    def audio_windows(voice: AudioSource, frames: FrameIndices, fps: float = FPS) -> NDArray[np.float32]:
        lead = alignment.centred_lead_frames(fps, num_columns) - late_s * fps
        return alignment.frame_mel_windows(voice.mel, frames, fps, lead, num_columns)

    return audio_windows


def _cepstra(voice: AudioSource, frames: FrameIndices, fps: float = FPS) -> NDArray[np.float32]:
    return alignment.frame_mfcc_windows(_coefficients(voice), frames, SPEECH2VID_MFCC_STEPS, fps)


@functools.lru_cache(maxsize=1)  # a long video asks a few frames at a time
def _coefficients(voice: AudioSource) -> NDArray[np.float32]:
    """All but the loudness: float32 [L, 12]."""
    return mfcc(voice.audio)[:, 1 : 1 + NUM_MFCC]


OURS = GeneratorKind(
    name="generator",
    build=lambda config: Generator(parse_config(GeneratorConfig, config)),
    audio_windows=_mel(alignment.MEL_WINDOW),
    face_input=face_input,
)
"""The paper's network; with both additions off, Wav2Lip's."""
WAV2LIP_RELEASED = replace(OURS, name="wav2lip_released", audio_windows=_mel(alignment.MEL_WINDOW, late_s=1 / FPS))
"""With Wav2Lip's published weights, which learned from windows that start one frame before the one they draw, not two
(`get_segmented_mels` of its training; its inference starts them at that frame)."""
LIPGAN = GeneratorKind(
    name="lipgan",
    build=lambda config: LipGANGenerator(parse_config(LipGANConfig, config)),
    audio_windows=_mel(MEL_STEPS),
    face_input=lipgan_face_input,
)
SPEECH2VID = GeneratorKind(
    name="speech2vid",
    build=_build_speech2vid,
    audio_windows=_cepstra,
    face_input=_stills,
    is_loudness_sensitive=False,
    parts=("mel", "audio"),
    num_stills=NUM_STILLS,
)
KINDS = {kind.name: kind for kind in (OURS, WAV2LIP_RELEASED, LIPGAN, SPEECH2VID)}
