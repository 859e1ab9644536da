"""Inference with a saved generator: independence of the batch size, and errors of wrong folders."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.choices import CbamIn
from models.generator import Generator, GeneratorConfig
from pipeline.core.errors import DataError, UserError
from pipeline.inference.generator import MouthGenerator
from pipeline.inference.saved_model import MAX_MESSAGE_CHARS, save_model


def save_tiny(folder: Path, kind: str = "generator", cbam_in: CbamIn = "encoders", **changes: float) -> Path:
    torch.manual_seed(0)
    config = GeneratorConfig(width=0.125, lstm_hidden=16, cbam_in=cbam_in)
    model = Generator(config)
    with torch.no_grad():
        for parameter in model.parameters():  # the LSTM's projection is initialised to zero
            parameter.add_(torch.randn_like(parameter) * 0.02)
    state = {name: torch.nan_to_num(value) for name, value in model.state_dict().items()}
    for name, value in changes.items():
        state[name.replace("__", ".")].fill_(value)
    save_model(folder, kind=kind, config=dataclasses.asdict(config), state=state, info={})
    return folder


@pytest.fixture(scope="module")
def draw(tmp_path_factory):
    return MouthGenerator.load(save_tiny(tmp_path_factory.mktemp("model")), "cpu", "fp32")


def inputs(num):
    random = np.random.default_rng(3)
    crops, references = random.integers(0, 256, (2, num, 96, 96, 3), dtype=np.uint8)
    return crops, random.uniform(-4, 4, (num, 80, 16)).astype(np.float32), references


def test_a_damaged_model_and_a_model_of_another_version_are_rejected(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    weights, description_path = tmp_path / "weights.safetensors", tmp_path / "model.json"
    whole, description = weights.read_bytes(), json.loads(description_path.read_text())
    weights.write_bytes(whole[:100])
    with pytest.raises(UserError, match="is damaged"):
        MouthGenerator.load(tmp_path)
    weights.write_bytes(whole)
    for change in ({"use_lstm": False}, {"num_heads": 8}, {"lstm_over": "context"}):
        changed = description | {"config": description["config"] | change}
        description_path.write_text(json.dumps(changed))
        with pytest.raises(UserError, match="another version of lipsmith") as caught:
            MouthGenerator.load(tmp_path)
        message = str(caught.value)
        assert "\n" not in message and len(message) < MAX_MESSAGE_CHARS + len(str(tmp_path)) + 200


@pytest.mark.parametrize(("had_decoder_cbam", "cbam_in"), [(False, "encoders"), (True, "both")])
def test_a_model_of_an_earlier_version_has_cbam_where_it_had(
    tmp_path: Path, had_decoder_cbam: bool, cbam_in: CbamIn
) -> None:
    save_tiny(tmp_path, cbam_in=cbam_in)
    path, expected = tmp_path / "model.json", MouthGenerator.load(tmp_path, "cpu", "fp32")
    description = json.loads(path.read_text())
    for name in ("cbam_in", "cbam_reduction", "mel_steps"):  # added since
        del description["config"][name]
    description["config"]["use_decoder_cbam"] = had_decoder_cbam
    path.write_text(json.dumps(description))
    found = MouthGenerator.load(tmp_path, "cpu", "fp32")
    assert found.network.config == expected.network.config
    assert len(found.network.decoder_cbam) == (6 if had_decoder_cbam else 0)
    np.testing.assert_array_equal(found(*inputs(1)), expected(*inputs(1)))


def test_a_generator_knows_the_geometry_of_its_crops(tmp_path: Path) -> None:
    """Models of earlier versions do not name it; theirs is square. One of a later version may be unknown."""
    path = save_tiny(tmp_path) / "model.json"
    assert MouthGenerator.load(tmp_path, "cpu").geometry == "square"
    description = json.loads(path.read_text())
    path.write_text(json.dumps(description | {"info": {"crop": "box"}}))
    assert MouthGenerator.load(tmp_path, "cpu").geometry == "box"
    path.write_text(json.dumps(description | {"info": {"crop": "round"}}))
    with pytest.raises(UserError, match=r"needs face crops of the geometry 'round', .* has only square, box; use"):
        MouthGenerator.load(tmp_path, "cpu")


@pytest.mark.slow
def test_the_size_of_a_batch_does_not_matter(draw):
    crops, windows, references = inputs(7)
    together = draw(crops, windows, references)
    assert together.shape == crops.shape and together.dtype == np.uint8
    for size in (1, 2, 3):
        spans = [slice(k, k + size) for k in range(0, 7, size)]
        parts = [draw(crops[span], windows[span], references[span]) for span in spans]
        assert np.abs(np.concatenate(parts).astype(int) - together).max() <= 1


def test_the_mouth_depends_on_audio_and_reference_and_not_on_the_targets_mouth(draw):
    crops, windows, references = inputs(2)
    drawn = draw(crops, windows, references)
    loud = draw(crops, 1000 * windows, references)  # audio has little effect on an untrained network
    assert (loud != drawn).any()
    assert (drawn != draw(crops, windows, np.roll(references, 1, axis=0))).any()
    muted = crops.copy()
    muted[:, 48:] = 0
    np.testing.assert_array_equal(drawn, draw(muted, windows, references))


def test_no_frames(draw):
    assert draw(*inputs(0)).shape == (0, 96, 96, 3)


def test_a_model_of_another_kind_is_rejected(tmp_path):
    with pytest.raises(UserError, match=r"'syncnet'.*artifacts/train_gan/lstm_cbam/model"):
        MouthGenerator.load(save_tiny(tmp_path, kind="syncnet"))


def test_a_missing_model_is_rejected(tmp_path):
    with pytest.raises(UserError, match="dvc repro"):
        MouthGenerator.load(tmp_path / "nowhere")


def test_outputs_that_are_not_finite_are_an_error(tmp_path):
    draw = MouthGenerator.load(save_tiny(tmp_path, output__1__bias=float("nan")), "cpu", "fp32")
    with pytest.raises(DataError, match=r"not finite; lower train_gan\.learning_rate"):
        draw(*inputs(1))
