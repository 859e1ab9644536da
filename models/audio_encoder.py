"""Audio encoder of the generator and of SyncNet, with an LSTM over mel steps before it or over frames after it.

Legend: B batch, T frames, N folded batch, H units, C channels, M=80 mel bins, L mel steps (80 steps/s).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from models.blocks import ConvBlock, embedding_head, encoder_stage, scaled_channels
from models.choices import LONG_MEL_STEPS, SHORT_MEL_STEPS, MelSteps

NUM_MEL_BINS = 80
LAST_STRIDES: Mapping[MelSteps, tuple[int, int]] = {SHORT_MEL_STEPS: (3, 2), LONG_MEL_STEPS: (3, 3)}
"""Stride of the last stage with a spatial map, by the steps of the window. It makes a map of 3x3."""
# Channels of the four stages with a spatial map, before the width factor.
STAGE_CHANNELS = (32, 64, 128, 256)
FINAL_CHANNELS = 512


class MelLSTM(nn.Module):
    """mel + projection(LSTM(mel)) for the steps of a window; the LSTM may also read the steps around it.

    The LSTM starts with a zero state ``before`` steps before the window. With ``after`` above 0 it has a second
    direction, which starts ``after`` steps behind the window; its units are then so few that the number of parameters
    is about the same. The projection is initialised to zero, so the output equals the window before training. The
    state does not pass from one window to the next: inference may batch windows in any order.
    """

    def __init__(self, hidden: int = 256, *, before: int = 0, after: int = 0) -> None:
        super().__init__()
        both_ways = after > 0
        units = _units_each_way(hidden) if both_ways else hidden
        self.lstm = nn.LSTM(NUM_MEL_BINS, units, batch_first=True, bidirectional=both_ways)
        self.projection = nn.Linear(units * (2 if both_ways else 1), NUM_MEL_BINS)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        self._window = slice(before, -after if both_ways else None)

    def forward(self, mel_N1ML: torch.Tensor) -> torch.Tensor:
        """float [N, 1, M, before + L + after] -> float [N, 1, M, L]."""
        mel_NLM = mel_N1ML.squeeze(1).transpose(1, 2)
        hidden_NLH, _ = self.lstm(mel_NLM)
        change_NLM = self.projection(hidden_NLH[:, self._window])
        return mel_N1ML[..., self._window] + change_NLM.transpose(1, 2).unsqueeze(1)


def _units_each_way(hidden: int) -> int:
    """Units u of each direction that give an LSTM with two directions as many parameters as one with h = ``hidden``.

    With its projection the former has 8 u (M + u + 2) + 2 u M + M parameters, the latter 4 h (M + h + 2) + h M + M.
    """
    half = (5 * NUM_MEL_BINS + 8) / 8
    return max(1, round(math.sqrt(half**2 + hidden * (hidden / 2 + half)) - half))


LstmState = tuple[torch.Tensor, torch.Tensor]
"""Hidden and cell state of an LSTM after its last step, float [1, B, H] each."""


class FrameLSTM(nn.Module):
    """embedding + projection(LSTM(embedding)); the LSTM runs over frames.

    The projection is initialised to zero, so the output equals the input before training. A clip may be processed in
    segments: pass the state that one segment returns to the next.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, batch_first=True)
        self.projection = nn.Linear(channels, channels)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, audio_BTC: torch.Tensor, state: LstmState | None = None) -> tuple[torch.Tensor, LstmState]:
        """float [B, T, C] and the state before it (None: zeros) -> float [B, T, C] and the state after it."""
        hidden_BTC, state = self.lstm(audio_BTC, state)
        return audio_BTC + self.projection(hidden_BTC), state


class AudioEncoder(nn.Module):
    """Wav2Lip's audio encoder: one embedding per mel window (Prajwal et al. 2020, sec. 3).

    Its maps are 80x16, 27x16, 9x6 and 3x3 for a window of 16 steps, as in Wav2Lip. For 27 steps they are 80x27, 27x27,
    9x9 and 3x3: the last stage has stride 3 instead of 2 over the steps. The parameters have equal shapes in both.
    `num_residual_256` is 1 in the generator and 2 in SyncNet. `embedding_dim` None means 512 times the width. With
    `linear_head` the last 1x1 layer is a plain convolution, without normalisation and ReLU.
    """

    def __init__(
        self,
        width: float = 1.0,
        *,
        num_residual_256: int = 1,
        embedding_dim: int | None = None,
        linear_head: bool = False,
        mel_steps: MelSteps = SHORT_MEL_STEPS,
    ) -> None:
        super().__init__()
        c32, c64, c128, c256 = self.stage_channels = [scaled_channels(channels, width) for channels in STAGE_CHANNELS]
        c512 = scaled_channels(FINAL_CHANNELS, width)
        self.stages = nn.ModuleList(
            [
                encoder_stage(1, c32, 3, 1, 1, num_residual=2),
                encoder_stage(c32, c64, 3, (3, 1), 1, num_residual=2),
                encoder_stage(c64, c128, 3, 3, 1, num_residual=2),
                encoder_stage(c128, c256, 3, LAST_STRIDES[mel_steps], 1, num_residual=num_residual_256),
            ]
        )
        self.squeeze = ConvBlock(c256, c512, 3)
        dim = c512 if embedding_dim is None else embedding_dim
        self.head = embedding_head(c512, dim, linear=linear_head)

    def forward(
        self,
        mel_N1ML: torch.Tensor,
        refinements: Sequence[nn.Module] | nn.ModuleList = (),
        before_head: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """mel float [N, 1, 80, L] in [-4, 4], L is 16 or 27 -> float [N, C, 1, 1].

        `refinements` holds one module per stage (CBAM) or is empty. `before_head` is applied to the input of the last
        layer.
        """
        x_NCML = mel_N1ML
        for index, stage in enumerate(self.stages):
            x_NCML = stage(x_NCML)
            if refinements:
                x_NCML = refinements[index](x_NCML)
        squeezed_NC11 = self.squeeze(x_NCML)
        if before_head is not None:
            squeezed_NC11 = before_head(squeezed_NC11)
        embedding_NC11: torch.Tensor = self.head(squeezed_NC11)
        return embedding_NC11
