"""Inference with a trained generator: loads the model, and generates face crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.generator import Generator
from pipeline.core.choices import UNNAMED_GEOMETRY, CropGeometry, Device, Precision
from pipeline.core.errors import UserError
from pipeline.features.alignment import FPS
from pipeline.inference.device import autocast, select_device
from pipeline.inference.fused import fuse
from pipeline.inference.generator_inputs import AudioSource, FrameIndices, GeneratorState, require_finite
from pipeline.inference.generator_kinds import KINDS, OURS, GeneratorKind
from pipeline.inference.saved_model import geometry_of, load_model, restore
from pipeline.inference.tensors import faces_to_float


class MouthGenerator:
    """Generates face crops with a new mouth. ``geometry`` is that of the crops it was trained on.

    The result does not depend on the size of the chunks if all chunks of a clip share one ``GeneratorState``.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        device: Device = "auto",
        precision: Precision = "auto",
        kind: GeneratorKind = OURS,
        geometry: CropGeometry = UNNAMED_GEOMETRY,
    ) -> None:
        self.device = select_device(device)
        self.precision = precision
        self.kind = kind
        self.geometry = geometry
        self.network = model.eval().to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, folder: Path, device: Device = "auto", precision: Precision = "auto") -> MouthGenerator:
        """Load a generator from a folder written by ``save_model``.

        Raises UserError if the folder holds no model, a damaged model, or a model of another kind or version.
        """
        saved = load_model(folder)
        if saved.kind not in KINDS:
            raise UserError(
                f"{folder} holds a model of kind {saved.kind!r}; a generator is needed "
                f"({', '.join(KINDS)}), such as artifacts/train_gan/lstm_cbam/model"
            )
        kind = KINDS[saved.kind]
        model = restore(saved, kind.build, "a generator", folder)
        return cls(model, device, precision, kind, geometry_of(saved, folder))

    def fuse(self) -> None:
        """Make the network faster, see `pipeline.inference.fused`. It cannot be saved afterwards."""
        fuse(self.network)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def crop_px(self) -> int:
        """Side of its crops in pixels."""
        return int(self.network.config.face_px)  # type: ignore[union-attr, arg-type]

    @property
    def width(self) -> float:
        """Channel factor of the network."""
        return float(self.network.config.width)  # type: ignore[union-attr, arg-type]

    def audio_windows(self, voice: AudioSource, frames: FrameIndices, fps: float = FPS) -> NDArray[np.float32]:
        """The generator's audio input, one window per frame: float32 [N, F, L]. ``fps``: frame rate in 1/s."""
        return self.kind.audio_windows(voice, frames, fps)

    @torch.inference_mode()
    def __call__(
        self,
        crops: NDArray[np.uint8],
        windows: NDArray[np.float32],
        references: NDArray[np.uint8],
        state: GeneratorState | None = None,
    ) -> NDArray[np.uint8]:
        """Generated crops uint8 [N, S, S, 3] BGR, where S is ``crop_px``.

        ``crops``: uint8 [N, S, S, 3] BGR. ``windows``: float32 [N, F, L] from ``audio_windows``. ``references``:
        same shape as ``crops``; they show the speaker's identity. A generator with several stills repeats the
        reference of each frame. Raises DataError if the network returns values that are not finite.
        """
        if len(crops) == 0:
            return np.empty((0, *crops.shape[1:]), np.uint8)
        target_BTCHW, references_BRCHW = self._to_tensor(crops)[None], self._to_tensor(references)[None]
        audio_BTCFL = torch.from_numpy(windows).to(self.device)[None, :, None]
        if self.kind.num_stills is not None:  # such a network processes each frame separately
            target_BTCHW, audio_BTCFL = target_BTCHW.transpose(0, 1), audio_BTCFL.transpose(0, 1)
            references_BRCHW = references_BRCHW.transpose(0, 1).expand(-1, self.kind.num_stills, -1, -1, -1)
        faces_BTCHW = self.kind.face_input(target_BTCHW, references_BRCHW)
        faces_NCHW = faces_BTCHW.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        faces_BTCHW = faces_NCHW.unflatten(0, faces_BTCHW.shape[:2])
        with autocast(self.precision, self.device):
            if isinstance(self.network, Generator):
                state = state or GeneratorState()
                generated_BTCHW, state.lstm = self.network.forward_with_state(audio_BTCFL, faces_BTCHW, state.lstm)
            else:
                generated_BTCHW = self.network(audio_BTCFL, faces_BTCHW)
        generated_NCHW = generated_BTCHW.flatten(0, 1).float()
        require_finite(bool(generated_NCHW.sum().isfinite()))  # faster than a check of each value
        generated_NHWC = (generated_NCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        generated: NDArray[np.uint8] = generated_NHWC.contiguous().cpu().numpy()
        return generated

    def _to_tensor(self, images: NDArray[np.uint8]) -> torch.Tensor:
        return faces_to_float(torch.tensor(images), self.device)  # copies, since the caller's array may be read-only
