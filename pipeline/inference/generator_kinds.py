"""Kinds of generator: for each, the network, its audio windows and its face input.

Training, evaluation and dubbing with torch use these definitions, so a network gets the same inputs in each. The audio
windows are those of `ARRAY_INPUTS`, which ONNX Runtime gets, too.
Legend: B batch, T frames, R references, S side of the faces in pixels, F audio features, L steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from models.baselines.lipgan import LipGANConfig, LipGANGenerator, lipgan_face_input
from models.baselines.speech2vid import NUM_MFCC, SPEECH2VID_MFCC_STEPS, Speech2Vid, Speech2VidConfig
from models.choices import LONG_MEL_STEPS, MEL_CONTEXT, SHORT_MEL_STEPS, LstmOver, MelSteps
from models.generator import Generator, GeneratorConfig, face_input
from pipeline.core.errors import UserError
from pipeline.features import alignment
from pipeline.inference.generator_inputs import ARRAY_INPUTS, AudioWindows
from pipeline.inference.saved_model import parse_config


@dataclass(frozen=True)
class GeneratorKind:
    """One kind of generator. ``name`` is the ``kind`` in the ``model.json`` of its saved models."""

    name: str
    build: Callable[[Mapping[str, Any]], nn.Module]
    """Saved config -> network, which is called as ``net(audio [B, T, 1, F, L], faces [B, T, C, S, S])``."""
    audio_windows: AudioWindows
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


def _ours(name: str, lstm_over: LstmOver, mel_steps: MelSteps = SHORT_MEL_STEPS) -> GeneratorKind:
    context = MEL_CONTEXT[lstm_over]

    def build(config: Mapping[str, Any]) -> nn.Module:
        known = parse_config(GeneratorConfig, _with_present_keys(config))
        if (known.mel_context, known.mel_steps) != (context, mel_steps):  # the weights would fit, the windows would not
            raise UserError(
                f"its kind {name} does not have the mel windows of lstm_over {known.lstm_over} and mel_steps "
                f"{known.mel_steps}"
            )
        return Generator(known)

    return GeneratorKind(
        name=name,
        build=build,
        audio_windows=ARRAY_INPUTS[name].audio_windows(alignment.NUM_MELS, mel_steps + sum(context)),
        face_input=face_input,
    )


def _with_present_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a saved generator. Earlier versions had ``use_decoder_cbam`` in place of ``cbam_in``."""
    present = dict(config)
    if "use_decoder_cbam" in present:
        present["cbam_in"] = "both" if present.pop("use_decoder_cbam") else "encoders"
    return present


OURS = _ours("generator", "mel")
"""The paper's network, with an LSTM over mel or frames. Without LSTM and CBAM it is Wav2Lip's."""
OURS_CONTEXT = _ours("generator_context", "context")
"""The paper's network with `lstm_over` context: the windows of ``OURS`` and the 64 columns before each."""
OURS_CONTEXT_BOTH = _ours("generator_context_both", "context_both")
"""The paper's network with `lstm_over` context_both: also the 16 columns after each window."""
OURS_LONG = _ours("generator_long", "mel", LONG_MEL_STEPS)
"""As ``OURS``, with windows of 27 columns."""
OURS_CONTEXT_LONG = _ours("generator_context_long", "context", LONG_MEL_STEPS)
OURS_CONTEXT_BOTH_LONG = _ours("generator_context_both_long", "context_both", LONG_MEL_STEPS)


def _lipgan(name: str, mel_steps: MelSteps) -> GeneratorKind:
    def build(config: Mapping[str, Any]) -> nn.Module:
        known = parse_config(LipGANConfig, config)
        if known.mel_steps != mel_steps:  # the weights would fit, the windows would not
            raise UserError(f"its kind {name} does not have the mel windows of mel_steps {known.mel_steps}")
        return LipGANGenerator(known)

    return GeneratorKind(
        name=name,
        build=build,
        audio_windows=ARRAY_INPUTS[name].audio_windows(alignment.NUM_MELS, mel_steps),
        face_input=lipgan_face_input,
    )


LIPGAN = _lipgan("lipgan", LONG_MEL_STEPS)
LIPGAN_SHORT = _lipgan("lipgan_short", SHORT_MEL_STEPS)
"""As ``LIPGAN``, with windows of 16 columns."""


def kind_of(config: GeneratorConfig | LipGANConfig) -> GeneratorKind:
    """The kind of the network with the audio windows of ``config``."""
    if isinstance(config, LipGANConfig):
        short, long = LIPGAN_SHORT, LIPGAN
    else:
        with_context = {
            MEL_CONTEXT["context"]: (OURS_CONTEXT, OURS_CONTEXT_LONG),
            MEL_CONTEXT["context_both"]: (OURS_CONTEXT_BOTH, OURS_CONTEXT_BOTH_LONG),
        }
        short, long = with_context.get(config.mel_context, (OURS, OURS_LONG))
    return short if config.mel_steps == SHORT_MEL_STEPS else long


WAV2LIP_RELEASED = replace(
    OURS,
    name="wav2lip_released",
    audio_windows=ARRAY_INPUTS["wav2lip_released"].audio_windows(alignment.NUM_MELS, alignment.MEL_WINDOW),
)
"""Wav2Lip's network with the published weights.

They were trained on windows that start one frame before the generated frame (`get_segmented_mels` in Wav2Lip's
training code). The windows of ``OURS`` start two frames before it; those in Wav2Lip's inference code start at it.
"""
SPEECH2VID = GeneratorKind(
    name="speech2vid",
    build=_build_speech2vid,
    audio_windows=ARRAY_INPUTS["speech2vid"].audio_windows(NUM_MFCC, SPEECH2VID_MFCC_STEPS),
    face_input=_stills,
    is_loudness_sensitive=False,
    parts=("mel", "audio"),
    num_stills=NUM_STILLS,
)
KINDS = {
    kind.name: kind
    for kind in (
        OURS,
        OURS_LONG,
        OURS_CONTEXT,
        OURS_CONTEXT_LONG,
        OURS_CONTEXT_BOTH,
        OURS_CONTEXT_BOTH_LONG,
        WAV2LIP_RELEASED,
        LIPGAN,
        LIPGAN_SHORT,
        SPEECH2VID,
    )
}
