"""Kinds of generator: for each, the network, its audio windows and its face input.

Training, evaluation and dubbing all use these definitions, so a network gets the same inputs in each.
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
    """Speech as mel spectrogram and as samples. ``Clip`` and ``ExtractedAudio`` satisfy it."""

    @property
    def mel(self) -> NDArray[np.float32]:
        """float32 [L, 80], 80 columns/s."""

    @property
    def audio(self) -> NDArray[np.int16]:
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


@dataclass(frozen=True)
class GeneratorKind:
    """One kind of generator. ``name`` is the ``kind`` in the ``model.json`` of its saved models."""

    name: str
    build: Callable[[Mapping[str, Any]], nn.Module]
    """Saved config -> network, which is called as ``net(audio [B, T, 1, F, L], faces [B, T, C, 96, 96])``."""
    audio_windows: Callable[[AudioSource, FrameIndices, float], NDArray[np.float32]]
    """Audio source, frame indices and frame rate in 1/s -> one window per frame, float32 [N, F, L]."""
    face_input: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """Target [B, T, 3, H, W] and references [B, R, 3, H, W], float in [0, 1] -> face input [B, T, C, H, W]."""
    is_loudness_sensitive: bool = True
    """Whether the values of its audio windows grow with the loudness."""
    parts: tuple[str, ...] = ("mel",)
    """Audio parts of a stored clip that its training reads: those of its windows, and ``mel`` for the sync loss."""
    num_stills: int | None = None
    """Number of reference images in the input of each frame. None: each frame has its own reference, R = T."""


NUM_STILLS = Speech2VidConfig().num_stills


def _stills(target_BTCHW: torch.Tensor, references_BRCHW: torch.Tensor) -> torch.Tensor:
    """Face input of Speech2Vid: the same stills for each frame, evenly spaced among the references.

    Only the number of frames of the target is used.
    """
    chosen = torch.linspace(0, references_BRCHW.shape[1] - 1, NUM_STILLS).round().long()
    stills_BCHW = references_BRCHW[:, chosen].flatten(1, 2)
    return stills_BCHW.unsqueeze(1).expand(-1, target_BTCHW.shape[1], -1, -1, -1)


def _build_speech2vid(config: Mapping[str, Any]) -> nn.Module:
    known = parse_config(Speech2VidConfig, config)
    if known.num_stills != NUM_STILLS:
        raise UserError(f"its config has num_stills {known.num_stills}; only {NUM_STILLS} is supported")
    return Speech2Vid(known)


def _mel(num_columns: int, late_s: float = 0.0) -> Callable[[AudioSource, FrameIndices, float], NDArray[np.float32]]:
    """Function that returns mel windows, centred ``late_s`` seconds after the middle of each frame."""

    def audio_windows(voice: AudioSource, frames: FrameIndices, fps: float = FPS) -> NDArray[np.float32]:
        lead = alignment.centred_lead_frames(fps, num_columns) - late_s * fps
        return alignment.frame_mel_windows(voice.mel, frames, fps, lead, num_columns)

    return audio_windows


def _cepstra(voice: AudioSource, frames: FrameIndices, fps: float = FPS) -> NDArray[np.float32]:
    return alignment.frame_mfcc_windows(_coefficients(voice), frames, SPEECH2VID_MFCC_STEPS, fps)


@functools.lru_cache(maxsize=1)  # dubbing requests a long video's windows in many small chunks
def _coefficients(voice: AudioSource) -> NDArray[np.float32]:
    """MFCC without the first coefficient, which is the loudness: float32 [L, 12]."""
    return mfcc(voice.audio)[:, 1 : 1 + NUM_MFCC]


OURS = GeneratorKind(
    name="generator",
    build=lambda config: Generator(parse_config(GeneratorConfig, config)),
    audio_windows=_mel(alignment.MEL_WINDOW),
    face_input=face_input,
)
"""The paper's network. Without LSTM and CBAM it is Wav2Lip's."""
WAV2LIP_RELEASED = replace(OURS, name="wav2lip_released", audio_windows=_mel(alignment.MEL_WINDOW, late_s=1 / FPS))
"""Wav2Lip's network with the published weights.

They were trained on windows that start one frame before the generated frame (`get_segmented_mels` in Wav2Lip's
training code). The windows of ``OURS`` start two frames before it; those in Wav2Lip's inference code start at it.
"""
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
