"""The weight of each loss term at each step of a generator's training."""

from __future__ import annotations

from pipeline.params.training import LossesParams, LossParams


def weight_at(loss: LossParams, step: int) -> float:
    """A term's weight at a step, counted from 0: 0 before ``start_step``, then growing over ``ramp_steps``."""
    if step < loss.start_step:
        return 0.0
    if loss.ramp_steps == 0:
        return loss.weight
    return loss.weight * min(1.0, (step - loss.start_step + 1) / loss.ramp_steps)


def weights_at(losses: LossesParams, step: int | None) -> dict[str, float]:
    """Each term's weight at a step, L1's included; None: once every term has its whole weight."""
    weights = {name: loss.weight if step is None else weight_at(loss, step) for name, loss in losses}
    return {"l1": 1.0 - weights["sync"] - weights["adversarial"]} | weights


def full_from(losses: LossesParams) -> int:
    """After so many steps every term that is used has had its whole weight in one."""
    return max((loss.start_step + max(1, loss.ramp_steps) for _, loss in losses if loss.weight > 0), default=0)


def without(losses: LossesParams, *names: str) -> LossesParams:
    """The same schedule with the weights of these terms 0."""
    return losses.model_copy(update={name: getattr(losses, name).model_copy(update={"weight": 0.0}) for name in names})
