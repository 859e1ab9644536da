"""Export of generators to ONNX, and their inference without torch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from models.baselines.lipgan import LipGANConfig, LipGANGenerator
from models.baselines.speech2vid import Speech2Vid, Speech2VidConfig
from models.generator import Generator, GeneratorConfig
from pipeline.core.errors import UserError
from pipeline.core.resources import NUM_CORES_VARIABLE
from pipeline.inference import onnx_generator
from pipeline.inference.generator import MouthGenerator
from pipeline.inference.generator_inputs import ARRAY_INPUTS, ExtractedAudio, GeneratorState
from pipeline.inference.generator_kinds import KINDS
from pipeline.inference.onnx_export import TOLERANCE, export_onnx
from pipeline.inference.onnx_generator import OnnxGenerator
from pipeline.inference.runtimes import load_generator
from pipeline.inference.saved_model import save_model

ROOT = Path(__file__).resolve().parents[3]
NETWORKS: dict[str, tuple[str, Any, Any]] = {
    "lstm over frames, all CBAM, change": (
        "generator",
        Generator,
        GeneratorConfig(width=0.125, lstm_over="frames", cbam_in="both", predicts="change"),
    ),
    "lstm over a long window and its context, CBAM in the decoder, 128 px": (
        "generator_context_both_long",
        Generator,
        GeneratorConfig(
            width=0.125,
            lstm_over="context_both",
            lstm_hidden=16,
            face_px=128,
            mel_steps=27,
            cbam_in="decoder",
            cbam_reduction=2,
        ),
    ),
    "lipgan, short window, 192 px": (
        "lipgan_short",
        LipGANGenerator,
        LipGANConfig(width=0.125, predicts="change", face_px=192, mel_steps=16),
    ),
    "speech2vid": ("speech2vid", Speech2Vid, Speech2VidConfig(width=0.125)),
}


def save(folder: Path, name: str) -> Path:
    kind, build, config = NETWORKS[name]
    torch.manual_seed(0)
    network = build(config)
    with torch.no_grad():  # several layers are initialised to zero
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    save_model(folder, kind=kind, config=dataclasses.asdict(config), state=network.state_dict(), info={"crop": "box"})
    return folder


def voice() -> ExtractedAudio:
    random = np.random.default_rng(5)
    return ExtractedAudio(
        random.uniform(-4, 4, (200, 80)).astype(np.float32), random.integers(-9000, 9000, 40_000).astype(np.int16)
    )


def pictures(num: int, side_px: int = 96) -> tuple[np.ndarray, np.ndarray]:
    crops, references = np.random.default_rng(3).integers(0, 256, (2, num, side_px, side_px, 3), dtype=np.uint8)
    return crops, references


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_generator_draws_what_torch_draws(tmp_path: Path, name: str) -> None:
    folder, out = save(tmp_path / "model", name), tmp_path / "model.onnx"
    assert export_onnx(folder, out) <= TOLERANCE
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["model.onnx"]
    ours, theirs = OnnxGenerator(out, "cpu", 1), MouthGenerator.load(folder, "cpu", "fp32")
    size = NETWORKS[name][2].face_px
    assert (ours.geometry, ours.crop_px, theirs.crop_px) == ("box", size, size)
    windows = ours.audio_windows(voice(), range(5), 30.0)
    np.testing.assert_array_equal(windows, theirs.audio_windows(voice(), range(5), 30.0))
    crops, references = pictures(5, size)
    whole = theirs(crops, windows, references, GeneratorState())
    state = GeneratorState()
    parts = [ours(crops[span], windows[span], references[span], state) for span in (slice(0, 2), slice(2, 5))]
    difference = np.abs(np.concatenate(parts).astype(int) - whole)
    assert difference.max() <= 1 and whole.std() > 1
    assert (state.lstm is not None) == ("frames" in name)
    assert ours(crops[:0], windows[:0], references[:0]).shape == (0, size, size, 3)


def test_every_kind_of_generator_has_the_same_inputs_without_torch() -> None:
    assert ARRAY_INPUTS.keys() == KINDS.keys()
    crops, references = pictures(2)
    target, reference = (torch.from_numpy(images).movedim(-1, -3).float() / 255 for images in (crops, references))
    for name, kind in KINDS.items():
        shown = (
            reference[:, None]
            if kind.num_stills is None
            else reference[:, None].expand(-1, kind.num_stills, -1, -1, -1)
        )
        expected = kind.face_input(target[:, None], shown)[:, 0].numpy()
        np.testing.assert_array_equal(ARRAY_INPUTS[name].face_input(crops, references, expected.shape[1]), expected)
        windows = kind.audio_windows(voice(), range(3), 24.0)
        same = ARRAY_INPUTS[name].audio_windows(*windows.shape[1:])
        np.testing.assert_array_equal(same(voice(), range(3), 24.0), windows)


def write_identity(path: Path) -> Path:
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_files_that_are_no_exported_generator_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; `python -m pipeline export`"):
        OnnxGenerator(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(UserError, match="is damaged or no ONNX file"):
        OnnxGenerator(tmp_path / "text.onnx", "cpu")
    with pytest.raises(UserError, match="is not a generator that this version of lipsmith exported"):
        OnnxGenerator(write_identity(tmp_path / "other.onnx"), "cpu")
    with pytest.raises(UserError, match="is an ONNX file; use it with --runtime onnx"):
        load_generator(tmp_path / "text.onnx", "cpu", "torch", 1, tmp_path)
    with pytest.raises(UserError, match=r"the name of an ONNX file must end in \.onnx"):
        export_onnx(tmp_path, tmp_path / "model.bin")
    with pytest.raises(UserError, match="no model in"):
        export_onnx(tmp_path, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'lipsmith\[onnx\]'"):
        OnnxGenerator(tmp_path / "model.onnx")
    with pytest.raises(UserError, match=r"needs the package onnxruntime: `pip install 'lipsmith\[onnx\]'"):
        export_onnx(tmp_path, tmp_path / "model.onnx")


def test_a_device_that_onnx_runtime_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(UserError, match="ONNX Runtime has no CUDA"):
        OnnxGenerator(write_identity(tmp_path / "other.onnx"), "cuda")


def test_cuda_that_onnx_runtime_has_but_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    session = SimpleNamespace(get_providers=lambda: providers[1:])  # as without a driver
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *arguments, **options: session)
    path = write_identity(tmp_path / "other.onnx")
    with pytest.raises(UserError, match="ONNX Runtime cannot start CUDA"):
        onnx_generator._open_session(path, "cuda", 1)
    assert onnx_generator._open_session(path, "auto", 1) is session


@pytest.mark.parametrize(("num_threads", "expected"), [(0, 3), (2, 2)])
def test_threads_are_those_that_this_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_threads: int, expected: int
) -> None:
    monkeypatch.setenv(NUM_CORES_VARIABLE, "3")
    session = onnx_generator._open_session(write_identity(tmp_path / "other.onnx"), "cpu", num_threads)
    assert session.get_session_options().intra_op_num_threads == expected


def test_dubbing_with_onnx_imports_neither_torch_nor_librosa() -> None:
    code = (
        "import sys, pipeline.dubbing.dub, pipeline.faces.detector, pipeline.params\n"
        "import pipeline.inference.onnx_generator, pipeline.inference.runtimes\n"
        "from pipeline.features.mel import mel_filterbank; mel_filterbank()\n"
        "print([name for name in ('torch', 'librosa', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
