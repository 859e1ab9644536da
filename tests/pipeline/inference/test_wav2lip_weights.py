"""Conversion of files in the formats of Wav2Lip's authors, with the commands that read them."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.core.digest import sha256_of
from pipeline.core.layout import Layout
from pipeline.inference import saved_model
from pipeline.inference.generator import MouthGenerator
from pipeline.inference.generator_inputs import ExtractedAudio
from pipeline.params import load_params
from pipeline.sync_filter.scorer import load_scorer
from tests.support.published_wav2lip import PublishedDiscriminator, PublishedGenerator, PublishedSyncNet, trained


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.fixture
def layout(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((repo_root / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIPSMITH_WEIGHTS_DIR", raising=False)
    torch.manual_seed(0)
    return Layout(tmp_path)


def checkpoint_of(network: torch.nn.Module) -> dict[str, Any]:
    """A checkpoint in the format of Wav2Lip's training on several GPUs."""
    parameter = next(network.parameters())
    parameter.grad = torch.ones_like(parameter)
    optimizer = torch.optim.Adam([parameter])
    optimizer.step()
    return {
        "state_dict": {f"module.{name}": tensor for name, tensor in network.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "global_step": 3,
        "global_epoch": 1,
    }


def published_picture(network: torch.nn.Module, windows: np.ndarray, faces: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        drawn = network(torch.from_numpy(windows)[:, None], faces)
    return drawn.permute(0, 2, 3, 1).numpy() * 255


@pytest.mark.slow
def test_an_adopted_generator_gives_the_images_of_the_published_network(layout: Layout) -> None:
    """The audio windows start one frame early, as in its training. The file has the format of torch before 1.6."""
    published, path, folder = trained(PublishedGenerator(1)), layout.root / "wav2lip_gan.pth", layout.root / "adopted"
    torch.save(checkpoint_of(published), path, _use_new_zipfile_serialization=False)
    code, output = run("adopt", path, "--out", folder)
    assert code == 0 and f"dub --model {folder}" in output, output
    saved = saved_model.load_model(folder)
    assert saved.kind == "wav2lip_released"
    assert saved.info == {"file": "wav2lip_gan.pth", "file_sha256": sha256_of(path), "crop": "box"}

    random = np.random.default_rng(0)
    crops, references = random.integers(0, 256, (2, 3, 96, 96, 3), dtype=np.uint8)
    mel = 3e4 * random.uniform(-4, 4, (40, 80)).astype(np.float32)  # audio has little effect on an untrained network
    draw = MouthGenerator.load(folder, "cpu", "fp32")
    assert draw.geometry == "box"
    drawn = draw(crops, draw.audio_windows(ExtractedAudio(mel, np.zeros(0, np.int16)), range(4, 7)), references)
    masked = crops.copy()
    masked[:, 48:] = 0
    faces = torch.from_numpy(np.concatenate([masked, references], axis=3)).permute(0, 3, 1, 2) / 255
    expected, centred = (
        published_picture(published, np.stack([mel[start : start + 16].T for start in starts]), faces)
        for starts in ((9, 12, 16), (6, 9, 12))
    )
    assert np.abs(drawn - expected).max() <= 0.6
    assert np.abs(drawn - centred).max() > 5

    code, output = run("adopt", path, "--out", folder)
    assert code == 2 and "already holds a model" in output


@pytest.mark.slow
def test_an_adopted_expert_gives_the_cosines_of_the_published_network(layout: Layout) -> None:
    """The file is a TorchScript archive, and the expert is frozen with `freeze-scorer`."""
    published, path, folder = trained(PublishedSyncNet(1)), layout.root / "expert.pt", layout.root / "expert"
    random = np.random.default_rng(0)
    crops = random.integers(0, 256, (9, 96, 96, 3), dtype=np.uint8)
    mel = random.uniform(-4, 4, (30, 80)).astype(np.float32)
    stacked = [np.concatenate(list(crops[start : start + 5, 48:]), axis=2) for start in range(5)]
    faces = torch.from_numpy(np.stack(stacked)).permute(0, 3, 1, 2) / 255
    windows = [mel[start : start + 16].T for start in (0, 3, 6, 9, 12)]
    audio = torch.from_numpy(np.stack(windows))[:, None]
    torch.jit.trace(published, (faces[:1], audio[:1])).save(str(path))

    code, output = run("adopt", path, "--out", folder)
    assert code == 0 and f"freeze-scorer --from {folder}" in output, output
    assert run("freeze-scorer", "--from", folder)[0] == 0
    scorer = load_scorer(load_params(layout.params_path).sync_filter, layout.root, torch.device("cpu"), "box")
    clip: Any = SimpleNamespace(num_frames=len(crops), crops=lambda frames: crops[frames], mel=mel)
    clip.recut = {"box": clip}.__getitem__
    with torch.no_grad():
        face, voice = published(faces, audio)
    np.testing.assert_allclose(scorer.similarity(clip), face @ voice.T, atol=1e-5)
    assert json.loads((folder / "model.json").read_text())["config"]["linear_heads"] is False
    code, output = run("dub", "--face", "a.mp4", "--audio", "b.wav", "--out", "c.mp4", "--model", folder)
    assert code == 2 and "of kind 'syncnet'; a generator is needed" in output


def wider(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "face_decoder_blocks.7.0.conv_block.0.weight": torch.zeros(1)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda: PublishedDiscriminator(0.125).state_dict(),
            "it is Wav2Lip's quality discriminator, which only training needs",
        ),
        (lambda: wider(PublishedGenerator(0.125).state_dict()), "published weights of this Generator: unexpected"),
        (lambda: PublishedSyncNet(0.125).state_dict(), "published weights of this SyncNet: of another shape"),
        (lambda: {"netcnnaud.0.weight": torch.zeros(1)}, "are those of none of Wav2Lip's networks"),
        (lambda: [torch.zeros(1)], "it holds list, not a state dict"),
    ],
)
def test_a_file_with_other_tensors_is_rejected(layout: Layout, content: Callable[[], Any], message: str) -> None:
    path = layout.root / "file.pth"
    torch.save(content(), path)
    code, output = run("adopt", path, "--out", layout.root / "adopted")
    assert code == 2 and f"error: {path} cannot be adopted: " in output and message in output, output
    assert not (layout.root / "adopted").exists()


def script_without_its_tensors() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("expert/constants.pkl", b"")
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Path("/"), protocol=2), "not a file of tensors"),
        (b"<html>", "not a file of tensors"),
        (script_without_its_tensors(), "a damaged TorchScript archive"),
        (None, "does not exist; give a file of Wav2Lip's authors such as wav2lip_gan.pth. lipsmith does not download"),
    ],
)
def test_a_file_without_tensors_is_rejected(layout: Layout, content: bytes | None, message: str) -> None:
    path = layout.root / "file.pth"
    if content is not None:
        path.write_bytes(content)
    code, output = run("adopt", path, "--out", layout.root / "adopted")
    assert code == 2 and message in output and str(path) in output, output
