"""Adversarial training with the quality discriminator: its losses, its steps and the generator's loss.

Legend: N folded batch, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from models.discriminator import QualityDiscriminator
from models.losses import feature_loss
from models.parallel import average_gradients


def discriminator_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the discriminator on logits float [N] of real and of generated frames: two float32 scalars."""
    real, fake = real_logits.float(), fake_logits.float()
    return F.softplus(-real).mean(), F.softplus(fake).mean()


def generator_adversarial_loss(fake_logits: torch.Tensor) -> torch.Tensor:
    """Non-saturating loss of the generator: cross-entropy of generated frames with the label real; scalar float32."""
    return F.softplus(-fake_logits.float()).mean()


class TrainedAdversary(nn.Module):
    """A discriminator with its optimiser and its training step.

    The state dict holds the discriminator and, under `_extra_state`, the optimiser.
    The forward pass runs under the caller's autocast; losses, backward pass and step are float32.
    """

    def __init__(self, discriminator: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.optimiser = optimiser

    def _learn(self, **terms: torch.Tensor) -> dict[str, torch.Tensor]:
        """One optimiser step on the sum of the scalar terms; returns the sum as `d_loss` and each term, detached.

        Raises FloatingPointError before the step if the sum is not finite.
        """
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"d_loss is {loss.item()}: the discriminator's step was not taken")
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward()
        average_gradients(self.discriminator.parameters())
        self.optimiser.step()
        return {"d_loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}

    def get_extra_state(self) -> dict[str, Any]:
        """State of the optimiser; part of `state_dict()`."""
        return self.optimiser.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the state of the optimiser; called by `load_state_dict()`."""
        self.optimiser.load_state_dict(state)


class AdversarialLoss(TrainedAdversary):
    """Wav2Lip's quality discriminator: `train_discriminator` trains it, `forward` returns the generator's loss."""

    discriminator: QualityDiscriminator

    def forward(self, fake_NCHW: torch.Tensor) -> torch.Tensor:
        """Adversarial loss of generated frames float [N, C, H, W]; no gradient reaches the discriminator."""
        with frozen(self.discriminator):
            return generator_adversarial_loss(self.discriminator(fake_NCHW))

    def with_matching(self, fake_NCHW: torch.Tensor, real_NCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Adversarial and feature matching loss of the generator, two scalars; fake i belongs to real i.

        Both float [N, C, H, W]. No gradient reaches the discriminator.
        """
        with frozen(self.discriminator):
            with torch.no_grad():
                real = self.discriminator.maps(real_NCHW)
            fake = self.discriminator.maps(fake_NCHW)
        return generator_adversarial_loss(fake[-1]), feature_loss(fake[:-1], real[:-1])

    def train_discriminator(self, fake_NCHW: torch.Tensor, real_NCHW: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step of the discriminator on fakes (detached here) and reals, float [N, C, H, W] each.

        Returns `d_loss`, `d_real` and `d_fake`. Raises FloatingPointError if the loss is not finite.
        """
        logits_real = self.discriminator(real_NCHW.detach())
        logits_fake = self.discriminator(fake_NCHW.detach())
        real, fake = discriminator_loss(logits_real, logits_fake)
        return self._learn(d_real=real, d_fake=fake)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Inside, no parameter of the module requires a gradient; afterwards each one is as before.

    Autocast caches low-precision copies of trainable parameters until its context ends, even across a step of the
    optimiser. It caches no copies of frozen parameters. Inside, the module is therefore computed with its current
    parameters.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
