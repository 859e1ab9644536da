"""The discriminator's losses and steps."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from torch import nn

from models.adversarial import AdversarialLoss, discriminator_loss, generator_adversarial_loss
from models.discriminator import QualityDiscriminator


def test_adversarial_terms_closed_form() -> None:
    zero = torch.zeros(3)
    assert [term.item() for term in discriminator_loss(zero, zero)] == pytest.approx([math.log(2)] * 2)
    sure = torch.full((3,), 30.0)
    assert max(discriminator_loss(sure, -sure)) < 1e-6
    assert generator_adversarial_loss(sure).item() < 1e-6
    assert generator_adversarial_loss(-sure).item() == pytest.approx(30.0)


class Brightness(nn.Module):
    """Logit = scale * mean brightness + bias."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.maps(x)[-1]

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        mean = x.mean(dim=(1, 2, 3))[:, None]
        return [mean, self.line(mean).flatten()]


def adversary() -> AdversarialLoss:
    torch.manual_seed(0)
    net = Brightness()
    return AdversarialLoss(net, torch.optim.Adam(net.parameters(), 0.05))


def test_the_discriminator_learns_to_tell_dark_from_bright() -> None:
    loss = adversary()
    fake, real = torch.zeros(8, 3, 4, 4, requires_grad=True), torch.ones(8, 3, 4, 4)
    scalars = [loss.train_discriminator(fake, real) for _ in range(100)]
    assert scalars[-1]["d_loss"] < 0.5 * scalars[0]["d_loss"]
    for step in scalars:
        torch.testing.assert_close(step["d_loss"], step["d_real"] + step["d_fake"])
        assert not step["d_loss"].requires_grad
    assert fake.grad is None


def test_forward_gives_gradient_to_the_fake_and_none_to_the_discriminator() -> None:
    loss = adversary()
    fake = torch.rand(2, 3, 4, 4, requires_grad=True)
    before = copy.deepcopy(loss.discriminator.state_dict())
    loss(fake).backward()
    assert fake.grad is not None and fake.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in loss.parameters())
    for key, value in loss.discriminator.state_dict().items():
        assert torch.equal(value, before[key])


def test_matching_compares_the_maps_before_the_logits() -> None:
    loss = adversary()
    fake, real = torch.full((2, 3, 4, 4), 0.25, requires_grad=True), torch.full((2, 3, 4, 4), 0.5, requires_grad=True)
    adversarial, matching = loss.with_matching(fake, real)
    assert adversarial.item() == loss(fake).item()
    assert matching.item() == pytest.approx(0.5)  # |0.25 - 0.5| as a share of 0.5; the logits do not count
    matching.backward()
    assert real.grad is None and fake.grad is not None and (fake.grad < 0).all()
    assert all(p.grad is None and p.requires_grad for p in loss.parameters())


def test_after_a_step_in_low_precision_all_terms_are_of_the_new_discriminator() -> None:
    torch.manual_seed(0)
    net = QualityDiscriminator(0.125)
    loss = AdversarialLoss(net, torch.optim.Adam(net.parameters(), 0.01))
    fake, real = torch.rand(2, 3, 48, 96), torch.rand(2, 3, 48, 96)
    with torch.autocast("cpu", torch.bfloat16):
        loss.train_discriminator(fake, real)
        adversarial, matching = loss.with_matching(fake, real)
        _, nothing = loss.with_matching(real, real)
    with torch.autocast("cpu", torch.bfloat16):
        anew = loss.with_matching(fake, real)
    assert nothing.item() == 0
    assert (adversarial.item(), matching.item()) == (anew[0].item(), anew[1].item())


def test_state_dict_resumes_the_same_curve() -> None:
    generator = torch.Generator().manual_seed(0)
    fakes, reals = torch.rand(2, 6, 4, 3, 4, 4, generator=generator)
    straight = adversary()
    curve = [straight.train_discriminator(f, r)["d_loss"] for f, r in zip(fakes, reals, strict=True)]
    first = adversary()
    for fake, real in zip(fakes[:3], reals[:3], strict=True):
        first.train_discriminator(fake, real)
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    saved.seek(0)
    second = adversary()
    second.load_state_dict(torch.load(saved, weights_only=True))
    rest = [second.train_discriminator(f, r)["d_loss"] for f, r in zip(fakes[3:], reals[3:], strict=True)]
    assert rest == curve[3:]


def test_a_loss_that_is_not_finite_stops_before_the_step() -> None:
    loss = adversary()
    before = copy.deepcopy(loss.discriminator.state_dict())
    with pytest.raises(FloatingPointError, match="d_loss"):
        loss.train_discriminator(torch.full((1, 3, 4, 4), torch.nan), torch.ones(1, 3, 4, 4))
    for key, value in loss.discriminator.state_dict().items():
        assert torch.equal(value, before[key])
