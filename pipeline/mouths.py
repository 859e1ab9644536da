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
        self.device = select_device(device)
        self.precision = precision
        self.network = model.eval().to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> MouthGenerator:
        """Read a folder written by ``save_model``. Raises FileNotFoundError or ValueError with the remedy."""
        saved = load_model(folder)
        if saved.kind != "generator":
            raise ValueError(
                f"{folder} holds a model of kind {saved.kind!r}; this needs a generator, "
                "such as artifacts/train_gan/lstm_cbam/model"
            )
        try:
            model = Generator(GeneratorConfig(**saved.config))
            model.load_state_dict(saved.state)
        except (TypeError, RuntimeError) as error:
            raise ValueError(
                f"{folder} holds a generator of another version of lipsmith ({error}); train it again with "
                "`dvc repro`, or give another model"
            ) from None
        return cls(model, device, precision)

    @torch.inference_mode()
    def __call__(
        self,
        crops: NDArray[np.uint8],
        mel_windows: NDArray[np.float32],
        references: NDArray[np.uint8],
    ) -> NDArray[np.uint8]:
        """``crops: uint8 [N, 96, 96, 3]`` BGR, ``mel_windows: float32 [N, 80, 16]`` -> uint8 [N, 96, 96, 3].

        ``references``, of the crops' shape, show whose face it is. Raises ValueError where the network gives
        something that is not a number.
        """
        if len(crops) == 0:
            return np.empty((0, FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8)
        faces_NCHW = face_input(self._to_tensor(crops), self._to_tensor(references))
        faces_NCHW = faces_NCHW.contiguous(memory_format=torch.channels_last)
        mel_N1ML = torch.from_numpy(mel_windows).to(self.device).unsqueeze(1)
        with autocast(self.precision, self.device):
            drawn_NCHW = self.network(mel_N1ML[None], faces_NCHW[None])[0].float()
        if not bool(drawn_NCHW.isfinite().all()):
            raise ValueError("the generator gave values that are not finite; train it again")
        drawn_NHWC = (drawn_NCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        drawn: NDArray[np.uint8] = drawn_NHWC.contiguous().cpu().numpy()
        return drawn

    def _to_tensor(self, images: NDArray[np.uint8]) -> torch.Tensor:
        return faces_to_float(torch.tensor(images), self.device)  # a copy: the caller's may be read-only
