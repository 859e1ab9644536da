"""Generates a clip's frames for any audio and pastes them into the context crops, the evaluator's input.

N frames, P side of the context crop in pixels. Images are BGR.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from pipeline.core.choices import Reference
from pipeline.faces.crops import reduced_to_place
from pipeline.inference.generator import MouthGenerator
from pipeline.inference.generator_inputs import AudioSource, GeneratorState
from pipeline.metrics.exact import full_float32

Images = NDArray[np.uint8]
_PASTED_AT_ONCE = 32
"""Images, to bound the memory of their float copies."""


def reference_frames(crops: Images, reference: Reference) -> Images:
    """Reference frames of the generator: uint8 [N, H, W, 3] -> same shape, possibly a view.

    ``same``: each frame itself, as in Wav2Lip's evaluation. ``first``: the clip's first frame, whose mouth holds no
    information about the other frames.
    """
    if reference == "same":
        return crops
    return np.broadcast_to(crops[:1], crops.shape)


@dataclass(frozen=True)
class CropGenerator:
    """A trained generator as a function from a clip's crops and any audio to generated crops."""

    generator: MouthGenerator
    reference: Reference = "same"
    batch_frames: int = 32

    @property
    def crop_px(self) -> int:
        """S, side of its crops in pixels."""
        return self.generator.crop_px

    def __call__(self, crops: Images, voice: AudioSource) -> Images:
        """``crops: uint8 [N, S, S, 3]`` and the audio -> generated crops uint8 [N, S, S, 3].

        The audio window of every frame is that of ``alignment``, as in training. Raises DataError if the output of the
        network is not finite.
        """
        windows = self.generator.audio_windows(voice, range(len(crops)))
        references = reference_frames(crops, self.reference)
        parts = [slice(start, start + self.batch_frames) for start in range(0, len(crops), self.batch_frames)]
        state = GeneratorState()
        with full_float32():
            drawn = [self.generator(crops[part], windows[part], references[part], state) for part in parts]
        return np.concatenate(drawn)


def paste(context: Images, crops: Images, boxes: NDArray[np.float64]) -> Images:
    """Paste crops uint8 [N, H, W, 3] into ``context`` uint8 [N, P, P, 3] -> uint8 [N, P, P, 3].

    ``boxes``: float64 [N, 4], x0, y0, x1, y1 in context pixels, with sub-pixel precision. As in Wav2Lip's evaluation
    the whole square is pasted, bilinear, with hard edges. Parts outside the context are cut off. Crops of more than 96
    px are first reduced to their place (``reduced_to_place``).
    """
    crops = reduced_to_place(crops, boxes)
    parts = [slice(start, start + _PASTED_AT_ONCE) for start in range(0, len(context), _PASTED_AT_ONCE)]
    return np.concatenate([context[:0], *(_paste(context[part], crops[part], boxes[part]) for part in parts)])


def _paste(context: Images, crops: Images, boxes: NDArray[np.float64]) -> Images:
    """As `paste`, for at least one image."""
    num, height, width = context.shape[:3]
    x0, y0, x1, y1 = torch.from_numpy(np.asarray(boxes, dtype=np.float32)).unbind(1)
    theta_N23 = torch.zeros(num, 2, 3)
    theta_N23[:, 0, 0], theta_N23[:, 0, 2] = width / (x1 - x0), (width - 2 * x0) / (x1 - x0) - 1
    theta_N23[:, 1, 1], theta_N23[:, 1, 2] = height / (y1 - y0), (height - 2 * y0) / (y1 - y0) - 1
    grid_NHW2 = F.affine_grid(theta_N23, [num, 3, height, width], align_corners=False)
    crops_NCHW = torch.tensor(crops).permute(0, 3, 1, 2).float()
    placed_NCHW = F.grid_sample(crops_NCHW, grid_NHW2, mode="bilinear", padding_mode="border", align_corners=False)
    is_inside_NHW = ((grid_NHW2 >= -1) & (grid_NHW2 < 1)).all(dim=-1).numpy()
    return np.where(is_inside_NHW[..., None], _to_images(placed_NCHW), context)


def _to_images(values_NCHW: torch.Tensor) -> Images:
    """Float [N, 3, H, W] in 0..255 -> uint8 [N, H, W, 3], rounded."""
    rounded = values_NCHW.round().clamp(0, 255).to(torch.uint8)
    images: Images = rounded.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return images
