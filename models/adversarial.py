"""The quality discriminator's side of the training: its losses, its steps, and what the generator learns from it.

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
    """Cross-entropies of the discriminator on real and on generated frames, two float32 scalars."""
    real, fake = real_logits.float(), fake_logits.float()
    return F.softplus(-real).mean(), F.softplus(fake).mean()


def generator_adversarial_loss(fake_logits: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of generated frames being taken for real (non-saturating), scalar float32."""
    return F.softplus(-fake_logits.float()).mean()


class TrainedAdversary(nn.Module):
    """A discriminator with its optimiser, and the step that both share.

    The state dict holds the discriminator and, under `_extra_state`, the optimiser.
    Run it under the caller's autocast: losses, backward and step are float32.
    """

    def __init__(self, discriminator: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.optimizer = optimizer

    def _learn(self, **terms: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step on the sum of the terms; returns it as `d_loss` and each term, detached.

        Raises FloatingPointError before the step where the loss is not finite, so that the weights are never poisoned.
        """
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"d_loss is {loss.item()}")
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward()
        average_gradients(self.discriminator.parameters())
        self.optimizer.step()
        return {"d_loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}

    def get_extra_state(self) -> dict[str, Any]:
        """The optimiser's state; part of `state_dict()`."""
        return self.optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the optimiser; called by `load_state_dict()`."""
        self.optimizer.load_state_dict(state)


class AdversarialLoss(TrainedAdversary):
    """Wav2Lip's quality discriminator: `train_adv` trains it, calling the module scores fakes."""

    discriminator: QualityDiscriminator

    def forward(self, fake_NCHW: torch.Tensor) -> torch.Tensor:
        """The generator's adversarial loss of float [N, C, H, W]; no gradient reaches D."""
        with frozen(self.discriminator):
            return generator_adversarial_loss(self.discriminator(fake_NCHW))

    def with_matching(self, fake_NCHW: torch.Tensor, real_NCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The generator's adversarial and feature matching losses; fake i was drawn for real i."""
        with frozen(self.discriminator):
            with torch.no_grad():
                real = self.discriminator.maps(real_NCHW)
            fake = self.discriminator.maps(fake_NCHW)
        return generator_adversarial_loss(fake[-1]), feature_loss(fake[:-1], real[:-1])

    def train_adv(self, fake_NCHW: torch.Tensor, real_NCHW: torch.Tensor) -> dict[str, torch.Tensor]:
        """One step of D on float [N, C, H, W] fakes (detached here) and reals: `d_loss`, `d_real`, `d_fake`."""
        logits_real = self.discriminator(real_NCHW.detach())
        logits_fake = self.discriminator(fake_NCHW.detach())
        real, fake = discriminator_loss(logits_real, logits_fake)
        return self._learn(d_real=real, d_fake=fake)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No gradient reaches the module's parameters inside; what was so before is so after.

    Autocast keeps its low-precision copies of trainable parameters for as long as its context lasts, over a step of the
    optimiser, too. Of frozen ones it keeps none, so that what is computed here is the network as it now is.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
