"""The schedule of the loss weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.params import load_params
from pipeline.params.training import LossParams
from pipeline.training.loss_weights import full_from, weight_at, weights_at, without

LOSSES = load_params(Path(__file__).resolve().parents[3] / "params.yaml").train_gan.losses


def test_a_weight_is_0_before_its_start_and_grows_over_its_ramp() -> None:
    ramped = LossParams(weight=0.8, start_step=2, ramp_steps=4)
    assert [weight_at(ramped, step) for step in range(8)] == pytest.approx([0, 0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    at_once = ramped.model_copy(update={"ramp_steps": 0})
    assert [weight_at(at_once, step) for step in range(4)] == [0, 0, 0.8, 0.8]


def test_the_weight_of_l1_is_1_minus_sync_and_adversarial() -> None:
    whole = weights_at(LOSSES, None)
    assert whole["l1"] == pytest.approx(1 - LOSSES.sync.weight - LOSSES.adversarial.weight)
    assert {name: whole[name] for name, _ in LOSSES} == {name: loss.weight for name, loss in LOSSES}
    nothing_yet = LOSSES.model_copy(update={name: loss.model_copy(update={"start_step": 1}) for name, loss in LOSSES})
    assert weights_at(nothing_yet, 0) == {"l1": 1.0} | dict.fromkeys(whole.keys() - {"l1"}, 0.0)


def test_a_removed_term_has_weight_0_and_the_others_are_unchanged() -> None:
    left = weights_at(without(LOSSES, "sync"), None)
    assert left == weights_at(LOSSES, None) | {"sync": 0.0, "l1": 1.0 - LOSSES.adversarial.weight}
    assert full_from(without(LOSSES, *(name for name, _ in LOSSES))) == 0


@pytest.mark.parametrize("ramp_steps", [0, 1, 5])
def test_full_from_is_after_the_first_step_with_all_full_weights(ramp_steps: int) -> None:
    timed = LossParams(weight=0.1, start_step=7, ramp_steps=ramp_steps)
    losses = without(LOSSES, *(name for name, _ in LOSSES)).model_copy(update={"sync": timed})
    last_step = full_from(losses) - 1  # steps count from 0
    assert weights_at(losses, last_step)["sync"] == 0.1
    assert weights_at(losses, last_step - 1)["sync"] < 0.1
