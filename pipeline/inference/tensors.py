"""Conversion of the loader's uint8 images to network inputs. Legend: N windows, T frames, H W pixels, S side."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models.choices import FACE_SIZE_PX
from models.losses import stack_window


def faces_to_float(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Images uint8 [..., H, W, 3] BGR -> float32 [..., 3, H, W] in [0, 1]."""
    return images.to(device, non_blocking=True).movedim(-1, -3).float().div_(255)


def expert_crops(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Face crops uint8 [N, S, S, 3] in the size of the expert's: uint8 [N, 96, 96, 3]."""
    if crops.shape[1] == FACE_SIZE_PX:
        return crops
    from pipeline.faces.crops import resized_crops  # here, because networks train without OpenCV

    return resized_crops(crops, FACE_SIZE_PX)


def expert_faces(lower: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Lower halves uint8 [N, T, 48, 96, 3] BGR -> float32 [N, 3 * T, 48, 96] in [0, 1], channels last."""
    stacked = stack_window(faces_to_float(lower, device))
    return stacked.contiguous(memory_format=torch.channels_last)
