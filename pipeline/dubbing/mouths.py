"""A trained generator, from its folder to new mouths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.generator import FACE_SIZE_PX, Generator, GeneratorConfig, face_input
from pipeline.checkpoint import load_model
from pipeline.training.precision import autocast, select_device
from pipeline.training.tensors import faces_to_float


class MouthGenerator:
    """Redraws mouths. A frame sees its own mel window only, so batches of any size give the same pictures."""

    def __init__(self, model: Generator, device: str = "auto", precision: str = "auto") -> None:
        self._device = select_device(device)
        self._precision = precision
        self._model = model.eval().to(self._device)
        self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> MouthGenerator:
        """Read a folder written by ``save_model``. Raises FileNotFoundError or ValueError with the remedy."""
        saved = load_model(folder)
        if saved.kind != "generator":
            raise ValueError(
                f"{folder} holds a model of kind {saved.kind!r}; dubbing needs a generator, "
                "such as artifacts/train_gan/lstm_cbam/model"
            )
        model = Generator(GeneratorConfig(**saved.config))
        model.load_state_dict(saved.state)
        return cls(model, device, precision)

    @torch.inference_mode()
    def __call__(self, crops: NDArray[np.uint8], mel_windows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """``crops: uint8 [N, 96, 96, 3]`` BGR, ``mel_windows: float32 [N, 80, 16]`` -> uint8 [N, 96, 96, 3].

        The reference is the frame itself, as in Wav2Lip's inference. Raises ValueError where the network
        gives something that is not a number.
        """
        if len(crops) == 0:
            return np.empty((0, FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8)
        target_NCHW = faces_to_float(torch.from_numpy(crops), self._device)
        faces_NCHW = face_input(target_NCHW, target_NCHW)
        faces_NCHW = faces_NCHW.contiguous(memory_format=torch.channels_last)
        mel_N1ML = torch.from_numpy(mel_windows).to(self._device).unsqueeze(1)
        with autocast(self._precision, self._device):
            drawn_NCHW = self._model(mel_N1ML[None], faces_NCHW[None])[0].float()
        if not bool(drawn_NCHW.isfinite().all()):
            raise ValueError("the generator gave values that are not finite; train it again")
        drawn_NHWC = (drawn_NCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        drawn: NDArray[np.uint8] = drawn_NHWC.contiguous().cpu().numpy()
        return drawn
