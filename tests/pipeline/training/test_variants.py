"""Differences between the training runs of the variants."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.params import load_params
from pipeline.training.adversaries import ADAM_BETAS
from pipeline.training.variants import recipe_of

PARAMS = load_params(Path(__file__).resolve().parents[3] / "params.yaml")


@pytest.mark.parametrize(
    ("variant", "has_adversary", "has_the_arms_betas"),
    [("lstm_cbam", True, True), ("wav2lip", False, False), ("lipgan", True, False), ("speech2vid", False, False)],
)
def test_adams_betas_are_the_published_ones(variant: str, has_adversary: bool, has_the_arms_betas: bool) -> None:
    gan = PARAMS.train_gan.model_copy(update={"betas": (0.3, 0.99)})
    recipe = recipe_of(gan, PARAMS.variants[variant])
    assert (recipe.build_adversary is not None) == has_adversary
    assert recipe.betas == ((0.3, 0.99) if has_the_arms_betas else ADAM_BETAS)
