"""Exports a saved generator to one ONNX file, and compares the file's output with torch's."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.audio_encoder import LstmState
from models.generator import Generator
from pipeline.core import atomic
from pipeline.core.errors import DataError, UserError
from pipeline.core.resources import num_cores
from pipeline.inference.generator import MouthGenerator
from pipeline.inference.generator_inputs import ExtractedAudio
from pipeline.inference.onnx_generator import INPUT_NAMES, OUTPUT_NAMES, PROPERTIES_KEY
from pipeline.inference.runtimes import ONNX_SUFFIX
from pipeline.inference.saved_model import model_sha256

TOLERANCE = 1e-4
"""Largest allowed difference between torch and ONNX Runtime on a CPU; the values are in [0, 1]."""
_CHECKED_SIZES = ((1, 1), (1, 7), (3, 2))
"""Batch and frames of the inputs that the two are compared on. Those of the export itself are others."""


class _WithState(nn.Module):
    """A generator with an LSTM over frames, whose state is an input and an output."""

    def __init__(self, network: Generator) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, audio_BTCFL: torch.Tensor, faces_BTCHW: torch.Tensor, hidden_1BH: torch.Tensor, cell_1BH: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        generated_BTCHW, state = self.network.forward_with_state(audio_BTCFL, faces_BTCHW, (hidden_1BH, cell_1BH))
        assert state is not None
        return generated_BTCHW, *state


def export_onnx(folder: Path, out: Path) -> float:
    """Write the generator in ``folder`` to the ONNX file ``out``, atomically; batch and frames are dynamic.

    Inputs: ``audio`` float32 [batch, frames, 1, F, L] and ``faces`` float32 [batch, frames, C, S, S] in [0, 1];
    output: ``generated`` float32 [batch, frames, 3, S, S] in [0, 1], BGR. With an LSTM over frames, its state is in
    the inputs ``hidden`` and ``cell`` and the outputs ``next_hidden`` and ``next_cell``, float32 [1, batch, H]; zeros
    begin a clip. Returns the largest difference from torch. Raises UserError if the packages of the extra ``onnx`` are
    missing, if ``out`` does not end in .onnx, or if the folder holds no generator; DataError if the difference exceeds
    ``TOLERANCE``.
    """
    if out.suffix != ONNX_SUFFIX:
        raise UserError(f"--out {out}: the name of an ONNX file must end in {ONNX_SUFFIX}")
    _require_packages()
    generator = MouthGenerator.load(folder, "cpu", "fp32")
    traced = generator.network
    if isinstance(traced, Generator) and traced.frame_lstm is not None:
        traced = _WithState(traced)
    is_stateful = isinstance(traced, _WithState)
    properties = {
        "kind": generator.kind.name,
        "geometry": generator.geometry,
        "weights_sha256": model_sha256(folder),
    }
    atomic.require_writable(out, "--out")
    with atomic.replacing(out) as temporary:
        program = _exported(traced, generator, is_stateful)
        program.model.metadata_props[PROPERTIES_KEY] = json.dumps(properties, sort_keys=True)
        program.save(str(temporary), external_data=False)
        difference = _largest_difference(traced, generator, temporary, is_stateful)
        if difference > TOLERANCE:
            raise DataError(
                f"the ONNX model of {folder} differs from torch by {difference:.1e}, at most {TOLERANCE:.0e} is "
                "allowed; it is not written"
            )
    return difference


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"the export needs the package {error.name}: `pip install 'lipsmith[onnx]'` installs it"
        ) from None


def _exported(traced: nn.Module, generator: MouthGenerator, is_stateful: bool) -> Any:
    num = 4 if is_stateful else 2
    dynamic = torch.export.Dim.DYNAMIC
    shapes = ({0: dynamic, 1: dynamic}, {0: dynamic, 1: dynamic}, {1: dynamic}, {1: dynamic})[:num]
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                traced,
                _inputs(traced, generator, 2, 3, is_stateful),
                input_names=list(INPUT_NAMES[:num]),
                output_names=list(OUTPUT_NAMES[: num - 1]),
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
    finally:
        logging.getLogger("torch.onnx").setLevel(level)


def _inputs(
    traced: nn.Module, generator: MouthGenerator, batch: int, frames: int, is_stateful: bool
) -> tuple[torch.Tensor, ...]:
    """Random inputs of the network; equal for equal sizes."""
    random = torch.Generator().manual_seed(batch * 1000 + frames)
    window = generator.audio_windows(ExtractedAudio.silent(16_000), range(1)).shape[1:]
    side = generator.crop_px
    image = torch.zeros(1, 1, 3, side, side)
    num_stills = generator.kind.num_stills
    references = image if num_stills is None else image.expand(-1, num_stills, -1, -1, -1)
    num_channels = generator.kind.face_input(image, references).shape[2]
    audio = torch.randn(batch, frames, 1, *window, generator=random)
    faces = torch.rand(batch, frames, num_channels, side, side, generator=random)
    if not is_stateful:
        return audio, faces
    assert isinstance(traced, _WithState) and traced.network.frame_lstm is not None
    size = traced.network.frame_lstm.lstm.hidden_size
    state: LstmState = tuple(0.1 * torch.randn(1, batch, size, generator=random) for _ in range(2))  # type: ignore[assignment]
    return audio, faces, *state


def _largest_difference(traced: nn.Module, generator: MouthGenerator, path: Path, is_stateful: bool) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_cores()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for batch, frames in _CHECKED_SIZES:
        inputs = _inputs(traced, generator, batch, frames, is_stateful)
        with torch.inference_mode():
            outputs = traced(*inputs)
        expected = outputs if isinstance(outputs, tuple) else (outputs,)
        found = session.run(None, {name: value.numpy() for name, value in zip(INPUT_NAMES, inputs, strict=False)})
        for one, other in zip(expected, found, strict=True):
            largest = max(largest, float(np.abs(one.numpy() - other).max()))
    return largest
