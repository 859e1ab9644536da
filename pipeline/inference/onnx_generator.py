"""Inference with a generator that was exported to ONNX. The module imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.choices import CropGeometry, Device
from pipeline.core.errors import UserError, first_line
from pipeline.core.resources import num_cores
from pipeline.features.alignment import FPS
from pipeline.inference.generator_inputs import (
    ARRAY_INPUTS,
    AudioSource,
    FrameIndices,
    GeneratorState,
    require_finite,
)

PROPERTIES_KEY = "lipsmith"
"""Key of the ONNX metadata that holds the properties of the generator as JSON: kind, geometry, weights_sha256."""
AUDIO, FACES, HIDDEN, CELL = INPUT_NAMES = ("audio", "faces", "hidden", "cell")
OUTPUT_NAMES = ("generated", "next_hidden", "next_cell")
"""A generator without an LSTM over frames has the first two inputs and the first output only."""
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxGenerator:
    """Generates face crops with a new mouth, as `MouthGenerator` does, in float32 with ONNX Runtime.

    ``num_threads``: 0 means all cores that this process may use. Raises UserError if ONNX Runtime is missing, if it
    cannot use the device, or if the file is not a generator that was exported by lipsmith.
    """

    def __init__(self, path: Path, device: Device = "auto", num_threads: int = 0) -> None:
        self._session = _open_session(path, device, num_threads)
        properties = _properties(self._session, path)
        self.geometry: CropGeometry = properties["geometry"]
        self._inputs = ARRAY_INPUTS[properties["kind"]]
        shapes = {one.name: one.shape for one in self._session.get_inputs()}
        *_, num_features, num_steps = shapes[AUDIO]
        self._windows = self._inputs.audio_windows(num_features, num_steps)
        self._num_channels, self.crop_px = shapes[FACES][2], int(shapes[FACES][-1])
        self._state_size: int | None = shapes[HIDDEN][2] if HIDDEN in shapes else None

    def audio_windows(self, voice: AudioSource, frames: FrameIndices, fps: float = FPS) -> NDArray[np.float32]:
        """The generator's audio input, one window per frame: float32 [N, F, L]. ``fps``: frame rate in 1/s."""
        return self._windows(voice, frames, fps)

    def __call__(
        self,
        crops: NDArray[np.uint8],
        windows: NDArray[np.float32],
        references: NDArray[np.uint8],
        state: GeneratorState | None = None,
    ) -> NDArray[np.uint8]:
        """Generated crops uint8 [N, S, S, 3] BGR, S is ``crop_px``; arguments and errors as for `MouthGenerator`."""
        if len(crops) == 0:
            return np.empty((0, *crops.shape[1:]), np.uint8)
        faces = self._inputs.face_input(crops, references, self._num_channels)
        feeds = {AUDIO: windows[None, :, None], FACES: faces[None]}
        state = state or GeneratorState()
        if self._state_size is not None:
            empty = np.zeros((1, 1, self._state_size), np.float32)
            feeds[HIDDEN], feeds[CELL] = state.lstm or (empty, empty)
        generated, *after = self._session.run(None, feeds)
        if after:
            state.lstm = (after[0], after[1])
        require_finite(bool(np.isfinite(generated).all()))
        images: NDArray[np.uint8] = np.rint(generated[0] * np.float32(255)).astype(np.uint8)
        return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def _open_session(path: Path, device: Device, num_threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            "the runtime onnx needs ONNX Runtime: `pip install 'lipsmith[onnx]'` installs it; or use --runtime torch"
        ) from None
    if not path.is_file():
        raise UserError(f"{path} does not exist; `python -m pipeline export` writes a generator as ONNX")
    has_cuda = _PROVIDERS["cuda"] in onnxruntime.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise UserError(
            "--device is cuda, but the installed ONNX Runtime has no CUDA; install onnxruntime-gpu, use --device cpu, "
            "or use --runtime torch"
        )
    chosen = "cuda" if has_cuda and device != "cpu" else "cpu"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or num_cores()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[_PROVIDERS[chosen]])
    except Exception as error:  # ONNX Runtime raises exceptions of many types for damaged files
        raise UserError(f"{path} is damaged or no ONNX file ({first_line(error)}); export it again") from None
    if device == "cuda" and _PROVIDERS["cuda"] not in session.get_providers():  # it uses the CPU instead
        raise UserError(
            "--device is cuda, but ONNX Runtime cannot start CUDA; check the NVIDIA driver and the versions of CUDA "
            "and cuDNN that onnxruntime-gpu needs, use --device cpu, or use --runtime torch"
        )
    return session


def _properties(session: Any, path: Path) -> dict[str, Any]:
    try:
        properties = json.loads(session.get_modelmeta().custom_metadata_map[PROPERTIES_KEY])
        is_known = properties["kind"] in ARRAY_INPUTS and "geometry" in properties
    except (KeyError, TypeError, ValueError):
        is_known = False
    if not is_known:
        raise UserError(
            f"{path} is not a generator that this version of lipsmith exported; `python -m pipeline export` writes one"
        )
    return dict(properties)
