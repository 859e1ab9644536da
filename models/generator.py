"""Lip-sync generator: Wav2Lip's encoder-decoder with an LSTM on the audio and CBAM on its maps.

Legend: B batch, T window frames, N = B*T folded batch, C channels, H W pixels, S side of the faces in pixels, M mel
bins, L steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import nn

from models.audio_encoder import AudioEncoder, FrameLSTM, LstmState, MelLSTM
from models.blocks import (
    ConvBlock,
    TransposedConvBlock,
    encoder_stage,
    residual_blocks,
    scaled_channels,
)
from models.cbam import ResidualCBAM
from models.choices import (
    CBAM_REDUCTION,
    FACE_SIZE_PX,
    MEL_CONTEXT,
    SHORT_MEL_STEPS,
    CbamIn,
    FacePx,
    LstmOver,
    MelSteps,
    Predicts,
)
from models.copied_face import copy_logits, start_at_zero
from models.face_sizes import SMALLEST_MAP, map_sizes, require_face_px

FACE_MAP_CHANNELS = (16, 32, 64, 128, 256, 512, 512)
"""Channels of the face encoder's maps at width 1, from the largest map on; the map of 1x1 has 512."""
FACE_MAP_RESIDUALS = (0, 2, 3, 2, 2, 1, 1)
"""Residual blocks of the stages that compute these maps."""
DECODER_MAP_CHANNELS = (64, 128, 256, 384, 512, 512, 512)
"""Channels of the decoder's maps at width 1, from the largest map on; the map of 1x1 has 512."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Settings that determine the parameters of the generator. Raises ValueError for values out of range."""

    width: float = 1.0
    """Channel factor; 1 is the size of Wav2Lip."""
    use_lstm: bool = True
    """Add an LSTM to the audio path, at the place that `lstm_over` names."""
    use_cbam: bool = True
    """Add CBAM after the stages of the parts that `cbam_in` names."""
    lstm_over: LstmOver = "mel"
    """mel: over the steps of each mel window, before the audio encoder; a frame depends on its own window only.
    frames: over the audio embeddings of the frames, after the encoder; a frame depends on earlier frames too.
    context: as mel, and over the 0.8 s before the window. context_both: as context, and backward from 0.2 s after the
    window. The audio encoder reads the steps of the window in all of them."""
    lstm_hidden: int = 256
    """Units of the LSTM over mel steps or context; not scaled by `width`. The LSTM over frames has the size of the
    embedding."""
    cbam_in: CbamIn = "encoders"
    """encoders: after the face stages and the audio stages; skip connections carry the refined features. decoder: after
    the decoder stages from 3x3 on. both: after all of these."""
    cbam_reduction: int = CBAM_REDUCTION
    """Channels for each hidden unit of a channel gate, from 1; a gate has at least `MIN_HIDDEN` hidden units."""
    mel_steps: MelSteps = SHORT_MEL_STEPS
    """Steps of the mel window of a frame; 16 are Wav2Lip's. The number of parameters does not depend on it."""
    predicts: Predicts = "image"
    """image: the face, as in Wav2Lip. change: what to add to `copy_logits`; before training it is zero."""
    face_px: FacePx = FACE_SIZE_PX
    """S, side of the faces in pixels; it sets the number of stages."""

    def __post_init__(self) -> None:
        scaled_channels(8, self.width)
        require_face_px(self.face_px)
        if self.lstm_over not in get_args(LstmOver):
            raise ValueError(f"lstm_over must be {' or '.join(get_args(LstmOver))}, got {self.lstm_over!r}")
        if self.lstm_hidden < 1:
            raise ValueError(f"lstm_hidden must be at least 1, got {self.lstm_hidden}")
        if self.cbam_in not in get_args(CbamIn):
            raise ValueError(f"cbam_in must be {' or '.join(get_args(CbamIn))}, got {self.cbam_in!r}")
        if self.cbam_reduction < 1:
            raise ValueError(f"cbam_reduction must be at least 1, got {self.cbam_reduction}")
        require_mel_steps(self.mel_steps)
        require_predicts(self.predicts)

    @property
    def mel_context(self) -> tuple[int, int]:
        """Mel steps before and after each window that the network reads too."""
        return MEL_CONTEXT[self.lstm_over] if self.use_lstm else (0, 0)


def require_mel_steps(value: int) -> None:
    """Raise ValueError unless the value is one of `MelSteps`."""
    if value not in get_args(MelSteps):
        raise ValueError(f"mel_steps must be {' or '.join(map(str, get_args(MelSteps)))}, got {value!r}")


def require_predicts(value: str) -> None:
    """Raise ValueError unless the value is one of `Predicts`."""
    if value not in get_args(Predicts):
        raise ValueError(f"predicts must be {' or '.join(get_args(Predicts))}, got {value!r}")


def face_input(target: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Face input of the generator: the target with its lower half set to zero (pose), then the reference.

    Both float [..., 3, H, W] in [0, 1], BGR -> float [..., 6, H, W] (Wav2Lip, sec. 3.4).
    """
    pose = target.clone()
    pose[..., target.shape[-2] // 2 :, :] = 0
    return torch.cat((pose, reference), dim=-3)


class Generator(nn.Module):
    """Generates face frames whose mouth fits the audio (Wav2Lip, sec. 3.4, plus LSTM and CBAM).

    Frames are independent of each other unless `lstm_over` is frames. Without LSTM and CBAM this is Wav2Lip's
    generator (36,298,035 parameters at width 1). With one seed, all variants have equal initial values of the weights
    they share, leave the global random state equal, and compute the same function before training: the projection of
    the LSTM is zero and each CBAM is the identity.
    """

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GeneratorConfig()
        sizes = map_sizes(config.face_px)
        num_maps = len(sizes) - 1  # larger than 1x1
        face = [scaled_channels(c, config.width) for c in (*FACE_MAP_CHANNELS[:num_maps], 512)]
        stages: list[nn.Module] = [encoder_stage(6, face[0], 7, 1, 3)]
        for level in range(1, num_maps):
            residuals = FACE_MAP_RESIDUALS[level]
            stages.append(encoder_stage(face[level - 1], face[level], 3, 2, 1, num_residual=residuals))
        stages.append(nn.Sequential(ConvBlock(face[-2], face[-1], sizes[-2]), ConvBlock(face[-1], face[-1], 1)))
        self.face_stages = nn.ModuleList(stages)
        self.audio_encoder = AudioEncoder(config.width, num_residual_256=1, mel_steps=config.mel_steps)
        dec = [scaled_channels(c, config.width) for c in (512, *reversed(DECODER_MAP_CHANNELS[:num_maps]))]
        stages = [ConvBlock(dec[0], dec[0], 1)]
        stages.append(self._up(dec[0] + face[-1], dec[1], sizes[-2], stride=1, num_residual=1))
        for level in range(2, num_maps + 1):
            skip = face[num_maps + 1 - level]
            stages.append(self._up(dec[level - 1] + skip, dec[level], 3, stride=2, num_residual=2))
        self.decoder_stages = nn.ModuleList(stages)
        out = scaled_channels(32, config.width)
        self.output = nn.Sequential(ConvBlock(dec[-1] + face[0], out, 3, 1, 1), nn.Conv2d(out, 3, kernel_size=1))
        if config.predicts == "change":
            start_at_zero(self.output[-1])
        with torch.random.fork_rng(devices=[]):
            over = config.lstm_over if config.use_lstm else None
            before, after = config.mel_context
            is_over_mel = over not in (None, "frames")
            self.mel_lstm = MelLSTM(config.lstm_hidden, before=before, after=after) if is_over_mel else None
            self.frame_lstm = FrameLSTM(dec[0]) if over == "frames" else None
        with torch.random.fork_rng(devices=[]):
            # Maps of 3x3 and 4x4 have a channel gate only. All modules are made, whatever `cbam_in` keeps of them, so
            # that it does not change the initial values of any.
            is_large = [size > SMALLEST_MAP for size in sizes[:-1]]
            audio = self.audio_encoder.stage_channels
            self.face_cbam = _cbams(face[:num_maps], is_large, config)
            self.audio_cbam = _cbams(audio, [True, True, True, False], config)
            self.decoder_cbam = _cbams(dec[1:], is_large[::-1], config)
        if not config.use_cbam or config.cbam_in == "decoder":
            self.face_cbam, self.audio_cbam = nn.ModuleList(), nn.ModuleList()
        if not config.use_cbam or config.cbam_in == "encoders":
            self.decoder_cbam = nn.ModuleList()

    @staticmethod
    def _up(in_channels: int, out_channels: int, kernel: int, *, stride: int, num_residual: int) -> nn.Module:
        """A transposed block (1x1 to the size of the kernel, or twice the size at stride 2), then residual blocks."""
        padding = 1 if stride == 2 else 0
        return nn.Sequential(
            TransposedConvBlock(in_channels, out_channels, kernel, stride, padding, padding),
            *residual_blocks(out_channels, num_residual),
        )

    def forward(self, mel_BTCML: torch.Tensor, faces_BTCHW: torch.Tensor) -> torch.Tensor:
        """Generate every frame from its own mel window.

        mel: float [B, T, 1, 80, L] in [-4, 4]; L is `mel_steps` and the steps of `mel_context`: 16, or 80 with
        `lstm_over` context, 96 with context_both; 11 more with `mel_steps` 27.
        faces: float [B, T, 6, S, S] in [0, 1], BGR, from `face_input`.
        Returns float32 [B, T, 3, S, S] in [0, 1], BGR. Raises ValueError if mel and faces differ in B or T, for mel
        windows with another number of steps, and for faces of another size.
        """
        return self.forward_with_state(mel_BTCML, faces_BTCHW)[0]

    def forward_with_state(
        self, mel_BTCML: torch.Tensor, faces_BTCHW: torch.Tensor, state: LstmState | None = None
    ) -> tuple[torch.Tensor, LstmState | None]:
        """As `forward`, for one segment of a clip.

        `state` is the LSTM state after the previous segment; None for the first one. Returns the frames and the state
        for the next segment; the state is None without an LSTM over frames.
        """
        if mel_BTCML.shape[:2] != faces_BTCHW.shape[:2]:
            raise ValueError(
                "mel and faces must agree in batch and frames, got "
                f"{tuple(mel_BTCML.shape[:2])} and {tuple(faces_BTCHW.shape[:2])}"
            )
        num_steps, side = self.config.mel_steps + sum(self.config.mel_context), self.config.face_px
        if mel_BTCML.shape[-1] != num_steps:
            raise ValueError(f"the mel windows of this generator have {num_steps} steps, got {mel_BTCML.shape[-1]}")
        if tuple(faces_BTCHW.shape[-2:]) != (side, side):
            raise ValueError(f"faces must be {side}x{side}, got {tuple(faces_BTCHW.shape[-2:])}")
        batch_shape = faces_BTCHW.shape[:2]
        audio_NC11 = self._encode_audio(mel_BTCML.flatten(0, 1))
        if self.frame_lstm is not None:
            audio_BTC, state = self.frame_lstm(audio_NC11.flatten(1).unflatten(0, batch_shape), state)
            audio_NC11 = audio_BTC.flatten(0, 1)[..., None, None]
        frames_NCHW = self._generate_frames(audio_NC11, faces_BTCHW.flatten(0, 1))
        return frames_NCHW.unflatten(0, batch_shape), state

    def _encode_audio(self, mel_N1ML: torch.Tensor) -> torch.Tensor:
        if self.mel_lstm is not None:
            mel_N1ML = self.mel_lstm(mel_N1ML)
        audio_NC11: torch.Tensor = self.audio_encoder(mel_N1ML, self.audio_cbam)
        return audio_NC11

    def _generate_frames(self, audio_NC11: torch.Tensor, faces_NCHW: torch.Tensor) -> torch.Tensor:
        skips: list[torch.Tensor] = []
        x_NCHW = faces_NCHW
        for index, stage in enumerate(self.face_stages):
            x_NCHW = stage(x_NCHW)
            if index < len(self.face_cbam):
                x_NCHW = self.face_cbam[index](x_NCHW)
            skips.append(x_NCHW)

        x_NCHW = audio_NC11
        for index, stage in enumerate(self.decoder_stages):
            x_NCHW = stage(x_NCHW)
            if index > 0 and self.decoder_cbam:
                x_NCHW = self.decoder_cbam[index - 1](x_NCHW)
            x_NCHW = torch.cat((x_NCHW, skips.pop()), dim=1)
        logits_NCHW = self.output(x_NCHW).float()
        if self.config.predicts == "change":
            pose_NCHW, reference_NCHW = faces_NCHW.chunk(2, dim=1)
            logits_NCHW = logits_NCHW + copy_logits(pose_NCHW, reference_NCHW)
        return torch.sigmoid(logits_NCHW)


def _cbams(channels: Sequence[int], is_spatial: Sequence[bool], config: GeneratorConfig) -> nn.ModuleList:
    """One CBAM for each map."""
    pairs = zip(channels, is_spatial, strict=True)
    return nn.ModuleList(ResidualCBAM(num, config.cbam_reduction, spatial=spatial) for num, spatial in pairs)
