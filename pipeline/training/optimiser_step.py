"""One step of an optimiser: learning rate, clipping of the gradient."""

from __future__ import annotations

import math

import torch

from models import parallel


def learning_rate_factor(step: int, warmup_steps: int, num_steps: int, floor: float = 0.05) -> float:
    """Factor of the learning rate: linear warm-up to 1, then cosine decay to ``floor`` at step ``num_steps``."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def clipped_step(optimiser: torch.optim.Optimizer, loss: torch.Tensor, max_norm: float, factor: float) -> float:
    """One optimiser step on ``loss`` with gradient clipping: backward pass and ``apply_gradients``."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    return apply_gradients(optimiser, max_norm, factor, loss.detach())


def apply_gradients(optimiser: torch.optim.Optimizer, max_norm: float, factor: float, loss: torch.Tensor) -> float:
    """One optimiser step on the computed gradients, clipped to ``max_norm``. Returns their norm before clipping.

    The learning rate is ``factor`` times the base learning rate. ``loss``: for the error message. Raises
    FloatingPointError, without a change of the weights, if the norm is not finite.
    """
    weights = [p for group in optimiser.param_groups for p in group["params"]]
    parallel.average_gradients(weights)
    norm = float(torch.nn.utils.clip_grad_norm_(weights, max_norm))
    if not math.isfinite(norm):
        raise FloatingPointError(f"the gradient's norm is {norm}, the loss {float(loss):.4g}")
    scale_learning_rate(optimiser, factor)
    optimiser.step()
    return norm


def scale_learning_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate to ``factor`` times the optimiser's initial learning rate."""
    for group in optimiser.param_groups:
        group.setdefault("base_lr", group["lr"])
        group["lr"] = group["base_lr"] * factor
