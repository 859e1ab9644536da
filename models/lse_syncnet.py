"""Evaluation SyncNet of the LSE metrics (Chung & Zisserman, "Out of time", 2016; syncnet_v2).

Legend: B batch, N folded batch, T frames, V = T-4 windows, C channels, H W pixels, D embedding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models.blocks import scaled_channels
from models.choices import WINDOW_FRAMES

EMBEDDING_DIM = 1024
MFCC_STEPS = 20


class WindowConv(nn.Conv2d):
    """Conv3d whose kernel spans the whole time axis of its input, run as a Conv2d with time folded into the channels.

    Values and state dict are those of the Conv3d (5-D weight [C', C, kT, kH, kW]). Unlike Conv3d it is fast on CPUs in
    bfloat16 and channels_last.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        num_frames: int = 1,
    ) -> None:
        super().__init__(in_channels * num_frames, out_channels, kernel, stride, padding)
        self.num_frames = num_frames
        self.register_state_dict_post_hook(_unfold_time)
        self.register_load_state_dict_pre_hook(_fold_time)


def _unfold_time(conv: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    key = prefix + "weight"
    state[key] = state[key].unflatten(1, (conv.num_frames, -1)).transpose(1, 2)


def _fold_time(_conv: nn.Module, state: dict[str, Any], prefix: str, *_rest: Any) -> None:
    key = prefix + "weight"
    if key in state and state[key].dim() == 5:
        state[key] = state[key].transpose(1, 2).flatten(1, 2)


class LseSyncNet(nn.Module):
    """Lip and audio embeddings; LSE-D and LSE-C are computed from their Euclidean distances.

    Embeddings are not normalised and have 1024 dimensions at any width. At width 1 the names and shapes of the state
    dict are those of the published syncnet_v2 weights (13,631,616 parameters).
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c64, c96, c192, c256, c384, c512 = (
            scaled_channels(channels, width) for channels in (64, 96, 192, 256, 384, 512)
        )
        self.netcnnaud = nn.Sequential(  # 13x20
            *_normed(nn.Conv2d(1, c64, 3, 1, 1)),
            nn.MaxPool2d(1, 1),
            *_normed(nn.Conv2d(c64, c192, 3, 1, 1)),
            nn.MaxPool2d(3, (1, 2)),  # 11x9
            *_normed(nn.Conv2d(c192, c384, 3, 1, 1)),
            *_normed(nn.Conv2d(c384, c256, 3, 1, 1)),
            *_normed(nn.Conv2d(c256, c256, 3, 1, 1)),
            nn.MaxPool2d(3, 2),  # 5x4
            *_normed(nn.Conv2d(c256, c512, (5, 4))),  # 1x1
        )
        self.netfcaud = _projection(c512)
        self.netfclip = _projection(c512)
        self.netcnnlip = nn.Sequential(  # 224x224
            *_normed(WindowConv(3, c96, 7, 2, num_frames=WINDOW_FRAMES)),  # 109x109
            nn.MaxPool2d(3, 2),  # 54x54
            *_normed(WindowConv(c96, c256, 5, 2, 1)),  # 26x26
            nn.MaxPool2d(3, 2, 1),  # 13x13
            *_normed(WindowConv(c256, c256, 3, 1, 1)),
            *_normed(WindowConv(c256, c256, 3, 1, 1)),
            *_normed(WindowConv(c256, c256, 3, 1, 1)),
            nn.MaxPool2d(3, 2),  # 6x6
            *_normed(WindowConv(c256, c512, 6)),  # 1x1
        )

    def embed_lips(self, frames_BCTHW: torch.Tensor) -> torch.Tensor:
        """Embeddings of all 5-frame windows of the context crops; window v covers frames v..v+4.

        frames: uint8 or float [B, 3, T, 224, 224] in [0, 255], BGR, 25 fps -> float32 [B, T-4, 1024].
        Raises ValueError for fewer than 5 frames.
        """
        batch, _, num_frames = frames_BCTHW.shape[:3]
        if num_frames < WINDOW_FRAMES:
            raise ValueError(f"need at least {WINDOW_FRAMES} frames, got {num_frames}")
        # Dtype and layout change before each frame is copied into up to five windows.
        frames_BTHWC = frames_BCTHW.movedim(1, -1).to(_compute_dtype(frames_BCTHW.device.type)).contiguous()
        num_windows = num_frames - WINDOW_FRAMES + 1
        places = [frames_BTHWC[:, start : start + num_windows] for start in range(WINDOW_FRAMES)]
        windows_NCHW = torch.cat(places, dim=-1).flatten(0, 1).permute(0, 3, 1, 2)  # channels_last, of time and colour
        features_NC = self.netcnnlip(windows_NCHW).flatten(1)
        embedding_ND: torch.Tensor = self.netfclip(features_NC).float()
        return embedding_ND.unflatten(0, (batch, num_windows))

    def embed_audio(self, mfcc_N1CL: torch.Tensor) -> torch.Tensor:
        """MFCC windows float [N, 1, 13, 20] (0.2 s at 100 steps/s) -> float32 [N, 1024]."""
        embedding_ND: torch.Tensor = self.netfcaud(self.netcnnaud(mfcc_N1CL).flatten(1)).float()
        return embedding_ND


def _normed(conv: nn.Conv2d) -> tuple[nn.Module, nn.Module, nn.Module]:
    return conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True)


def _compute_dtype(device_type: str) -> torch.dtype:
    """The dtype of autocast if it is on, else float32. Integers 0..255 are exact in bfloat16 and float16."""
    if torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return torch.float32


def _projection(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, channels),
        nn.BatchNorm1d(channels),
        nn.ReLU(inplace=True),
        nn.Linear(channels, EMBEDDING_DIM),
    )
