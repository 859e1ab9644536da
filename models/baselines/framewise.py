"""Base class of the baselines: audio windows and faces in, one generated frame per input frame out.

Legend: B batch, T window frames, N = B*T folded batch, C channels, H W pixels, S side of the faces in pixels, F
audio features, L steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn


class FramewiseGenerator(nn.Module, ABC):
    """Folds the frames into the batch, so that they are independent, and applies a float32 sigmoid to the logits.

    The call is that of `Generator`: `net(audio, faces)`. Subclasses pass their input shapes to `__init__` and compute
    logits in `generate_logits`.
    """

    def __init__(self, audio_shape: tuple[int, int, int], face_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.audio_shape = audio_shape
        self.face_shape = face_shape

    def forward(self, audio_BTCFL: torch.Tensor, faces_BTCHW: torch.Tensor) -> torch.Tensor:
        """Generate every frame from its own audio window.

        audio: float [B, T, *audio_shape]; faces: float [B, T, *face_shape] in [0, 1], BGR.
        Returns float32 [B, T, 3, S, S] in [0, 1], BGR. Raises ValueError for other shapes.
        """
        batch_shape = faces_BTCHW.shape[:2]
        expected = ((*batch_shape, *self.audio_shape), (*batch_shape, *self.face_shape))
        given = (tuple(audio_BTCFL.shape), tuple(faces_BTCHW.shape))
        if given != expected:
            raise ValueError(
                f"{type(self).__name__} takes audio [B, T, {_sizes(self.audio_shape)}] and faces "
                f"[B, T, {_sizes(self.face_shape)}] that agree in B and T, got {given[0]} and {given[1]}"
            )
        logits_NCHW = self.generate_logits(audio_BTCFL.flatten(0, 1), faces_BTCHW.flatten(0, 1))
        return torch.sigmoid(logits_NCHW.float()).unflatten(0, batch_shape)

    @abstractmethod
    def generate_logits(self, audio_NCFL: torch.Tensor, faces_NCHW: torch.Tensor) -> torch.Tensor:
        """float [N, *audio_shape] and [N, *face_shape] -> logits [N, 3, S, S]."""


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(str(size) for size in shape)
