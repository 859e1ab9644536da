"""Schedule of the loss weights in a generator's training."""

from __future__ import annotations

from pipeline.params.training import LossesParams, LossParams


def weight_at(loss: LossParams, step: int) -> float:
    """Weight of a loss term at a step, counted from 0. It is 0 before ``start_step`` and grows over ``ramp_steps``."""
    if step < loss.start_step:
        return 0.0
    if loss.ramp_steps == 0:
        return loss.weight
    return loss.weight * min(1.0, (step - loss.start_step + 1) / loss.ramp_steps)


def weights_at(losses: LossesParams, step: int | None) -> dict[str, float]:
    """Weights of all loss terms, including L1, at a step. ``step`` None: the full weights."""
    weights = {name: loss.weight if step is None else weight_at(loss, step) for name, loss in losses}
    return {"l1": 1.0 - weights["sync"] - weights["adversarial"]} | weights


def full_from(losses: LossesParams) -> int:
    """Number of steps after which every active term has had its full weight in at least one step."""
    return max((loss.start_step + max(1, loss.ramp_steps) for _, loss in losses if loss.weight > 0), default=0)


def without(losses: LossesParams, *names: str) -> LossesParams:
    """The same schedule, with weight 0 for the named terms."""
    return losses.model_copy(update={name: getattr(losses, name).model_copy(update={"weight": 0.0}) for name in names})
