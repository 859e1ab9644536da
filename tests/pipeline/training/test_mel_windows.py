"""Training of generators whose mel windows have another length than the published ones, and whose CBAM is elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from models.choices import MelWindow
from models.generator import Generator
from models.syncnet import SyncNet
from pipeline.inference.saved_model import config_to_save
from pipeline.params import TrainGanParams
from pipeline.training.gan import GanTrainee
from pipeline.training.variants import recipe_of
from tests.golden.networks import GAN, TRAINING, VARIANTS
from tests.pipeline.training.test_gan import batch, clip
from tests.support.small_expert import EXPERT


def params_with(**changes: Any) -> TrainGanParams:
    return TrainGanParams(**{**TRAINING, **GAN, **changes})


@pytest.mark.parametrize(("window", "of_arm", "of_lipgan"), [("own", 16, 27), ("short", 16, 16), ("long", 27, 27)])
def test_the_setting_sets_the_windows_of_both_networks(window: MelWindow, of_arm: int, of_lipgan: int) -> None:
    params = params_with(mel_window=window)
    found = {name: recipe_of(params, variant) for name, variant in VARIANTS.items()}
    steps = {name: batch(recipe.kind)["audio"].shape[-1] for name, recipe in found.items()}
    assert steps == {"lstm_cbam": of_arm, "lipgan": of_lipgan, "speech2vid": 35}
    assert {name: getattr(recipe.config, "mel_steps", 35) for name, recipe in found.items()} == steps


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("lstm_cbam", {"mel_window": "long", "cbam_in": "decoder", "cbam_reduction": 4}),
        ("lstm_cbam", {"mel_window": "long", "lstm_over": "context", "cbam_in": "both"}),
        ("lipgan", {"mel_window": "short"}),
    ],
)
def test_a_network_with_other_windows_trains(variant: str, changes: dict[str, Any]) -> None:
    params = params_with(**changes)
    recipe = recipe_of(params, VARIANTS[variant])
    torch.manual_seed(0)
    expert = SyncNet(EXPERT)
    trainee = GanTrainee(params, recipe, expert, [clip(0), clip(1)], torch.device("cpu"), validation_seed=3)
    if isinstance(trainee.generator, Generator):  # the audio encoder starts with the expert's weights
        own, learned = (network.audio_encoder.squeeze.conv.weight for network in (trainee.generator, expert))
        assert torch.equal(own, learned)
    before = {name: tensor.clone() for name, tensor in trainee.generator.state_dict().items()}
    windows = batch(recipe.kind)
    assert all(np.isfinite(float(value)) for value in trainee.step(windows, 5).values())
    after = trainee.generator.state_dict()
    for part in ("audio_encoder", "decoder_cbam") if variant == "lstm_cbam" else ("audio_encoder",):
        assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith(part))
    assert trainee.validate()["l1"] > 0


def test_the_config_of_a_default_model_names_nothing_that_earlier_versions_lack() -> None:
    later = {"face_px", "mel_steps", "cbam_in", "cbam_reduction"}
    for variant in VARIANTS.values():
        assert not later & config_to_save(recipe_of(params_with(), variant).config).keys()
    changed = params_with(mel_window="long", cbam_in="both", cbam_reduction=8, face_px=128)
    assert later <= config_to_save(recipe_of(changed, VARIANTS["lstm_cbam"]).config).keys()
