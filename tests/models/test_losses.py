from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from torch import nn

from models import losses


def test_lower_half_is_the_rows_below_the_middle() -> None:
    frames = torch.arange(4).view(1, 4, 1).expand(3, 4, 2)
    assert losses.lower_half(frames)[0, :, 0].tolist() == [2, 3]


def test_stack_window_is_frame_major() -> None:
    window = torch.arange(15).view(1, 5, 3, 1, 1).expand(1, 5, 3, 48, 96)
    stacked = losses.stack_window(window)
    assert stacked.shape == (1, 15, 48, 96)
    assert stacked[0, :, 0, 0].tolist() == list(range(15))


def test_l1_of_a_constant_difference() -> None:
    a = torch.rand(2, 3, 4)
    assert losses.l1_loss(a, a).item() == 0
    assert losses.l1_loss(a, a + 0.25).item() == pytest.approx(0.25, abs=1e-6)
    with pytest.raises(ValueError, match="shapes"):
        losses.l1_loss(a, a[:1])


def test_sync_loss_closed_form() -> None:
    half = torch.full((4,), 0.5)
    assert losses.sync_loss(half).item() == pytest.approx(math.log(2))
    mixed = torch.tensor([0.8, 0.3])
    expected = -(math.log(0.8) + math.log(0.7)) / 2
    assert losses.sync_loss(mixed, torch.tensor([True, False])).item() == pytest.approx(expected)
    zero = torch.zeros(4)
    assert losses.sync_loss(zero, min_cosine=-1.0).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("target", [True, False])
def test_sync_loss_stays_finite_at_the_ends(target: bool) -> None:
    cosine = torch.tensor([0.0, 1.0, 1.0 + 1e-6], requires_grad=True)
    loss = losses.sync_loss(cosine, torch.full((3,), target))
    loss.backward()
    assert loss.isfinite() and loss < 9.3
    assert cosine.grad is not None and cosine.grad.isfinite().all()


def test_contrastive_sync_loss_closed_form() -> None:
    face = torch.eye(2)
    audio = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], [[0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]]])
    # Face 0: own 1, 0 and 0 in its clip, 0, -1, 1 in the other. Face 1: own 1, 0 and 0, then 0, 1, -1.
    e = math.e
    expected = -math.log(e / (2 * e + 3 + 1 / e))
    assert losses.contrastive_sync_loss(face, audio, 1.0).item() == pytest.approx(expected, rel=1e-6)
    chance = losses.contrastive_sync_loss(torch.ones(2, 4) / 2, torch.ones(2, 3, 4) / 2, 0.5)
    assert chance.item() == pytest.approx(math.log(6))
    with pytest.raises(ValueError, match="expected faces"):
        losses.contrastive_sync_loss(face, audio[:1], 0.5)


def test_losses_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        similarity = torch.eye(4) @ torch.eye(4)
        assert similarity.dtype == torch.bfloat16
        assert losses.sync_loss(similarity.diag()).dtype == torch.float32
        assert losses.info_nce(similarity).dtype == torch.float32
        a = torch.randn(4, 8, dtype=torch.bfloat16)
        assert losses.pairwise_distances(a, a).dtype == torch.float32


def test_info_nce_closed_forms() -> None:
    assert losses.info_nce(torch.zeros(8, 8)).item() == pytest.approx(math.log(8))
    expected = math.log(1 + 3 * math.exp(-1 / 0.5))
    assert losses.info_nce(torch.eye(4), 0.5).item() == pytest.approx(expected, rel=1e-5)
    similarity = torch.rand(5, 5)
    assert losses.info_nce(similarity).item() == pytest.approx(losses.info_nce(similarity.T).item(), rel=1e-6)


def test_info_nce_mask_drops_negatives_but_never_pairs() -> None:
    similarity = torch.rand(6, 6)
    invalid = torch.zeros(6, 6, dtype=torch.bool)
    invalid[:3, 3:] = invalid[3:, :3] = True
    blocks = (losses.info_nce(similarity[:3, :3]) + losses.info_nce(similarity[3:, 3:])) / 2
    torch.testing.assert_close(losses.info_nce(similarity, 0.1, invalid), blocks)
    everything = torch.ones(6, 6, dtype=torch.bool)
    assert losses.info_nce(similarity, 0.1, everything).item() == 0
    with pytest.raises(ValueError, match="square"):
        losses.info_nce(similarity[:3])


def test_info_nce_gradient_with_a_mask_is_finite_and_reaches_the_temperature() -> None:
    similarity = torch.rand(4, 4, requires_grad=True)
    temperature = torch.tensor(0.1, requires_grad=True)
    losses.info_nce(similarity, temperature, torch.ones(4, 4).triu(1).bool()).backward()
    assert similarity.grad is not None and temperature.grad is not None
    assert similarity.grad.isfinite().all() and similarity.grad[0, 1] == 0
    assert temperature.grad.abs() > 0


def test_pairwise_distances() -> None:
    lips = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    audio = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    expected = torch.tensor([[0.0, 3.0, 4.0], [5.0, 4.0, 3.0]])
    torch.testing.assert_close(losses.pairwise_distances(lips, audio), expected)
    with pytest.raises(ValueError, match="size"):
        losses.pairwise_distances(lips, audio[:, :1])


def test_distance_to_itself_has_finite_gradient() -> None:
    lips = torch.randn(3, 4, requires_grad=True)
    losses.pairwise_distances(lips, lips.detach()).sum().backward()
    assert lips.grad is not None and lips.grad.isfinite().all()


def test_distance_softmax_loss_falls_when_pairs_come_nearer() -> None:
    distances = torch.full((4, 4), 7.0)
    assert losses.distance_softmax_loss(distances).item() == pytest.approx(math.log(4))
    near = distances - 2 * torch.eye(4)
    expected = math.log(1 + 3 * math.exp(-2))
    assert losses.distance_softmax_loss(near).item() == pytest.approx(expected, rel=1e-5)


def test_adversarial_terms_closed_form() -> None:
    zero = torch.zeros(3)
    assert [term.item() for term in losses.discriminator_loss(zero, zero)] == pytest.approx([math.log(2)] * 2)
    sure = torch.full((3,), 30.0)
    assert max(losses.discriminator_loss(sure, -sure)) < 1e-6
    assert losses.generator_adversarial_loss(sure).item() < 1e-6
    assert losses.generator_adversarial_loss(-sure).item() == pytest.approx(30.0)


class Brightness(nn.Module):
    """Logit = scale * mean brightness + bias."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.line(x.mean(dim=(1, 2, 3))[:, None]).flatten()
        return logits


def adversary() -> losses.AdversarialLoss:
    torch.manual_seed(0)
    net = Brightness()
    return losses.AdversarialLoss(net, torch.optim.Adam(net.parameters(), 0.05))


def test_train_adv_learns_to_tell_dark_from_bright() -> None:
    loss = adversary()
    fake, real = torch.zeros(8, 3, 4, 4, requires_grad=True), torch.ones(8, 3, 4, 4)
    scalars = [loss.train_adv(fake, real) for _ in range(100)]
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


def test_state_dict_resumes_the_same_curve() -> None:
    generator = torch.Generator().manual_seed(0)
    fakes, reals = torch.rand(2, 6, 4, 3, 4, 4, generator=generator)
    straight = adversary()
    curve = [straight.train_adv(f, r)["d_loss"] for f, r in zip(fakes, reals, strict=True)]
    first = adversary()
    for fake, real in zip(fakes[:3], reals[:3], strict=True):
        first.train_adv(fake, real)
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    saved.seek(0)
    second = adversary()
    second.load_state_dict(torch.load(saved, weights_only=True))
    rest = [second.train_adv(f, r)["d_loss"] for f, r in zip(fakes[3:], reals[3:], strict=True)]
    assert rest == curve[3:]


def test_a_loss_that_is_not_finite_stops_before_the_step() -> None:
    loss = adversary()
    before = copy.deepcopy(loss.discriminator.state_dict())
    with pytest.raises(FloatingPointError, match="d_loss"):
        loss.train_adv(torch.full((1, 3, 4, 4), torch.nan), torch.ones(1, 3, 4, 4))
    for key, value in loss.discriminator.state_dict().items():
        assert torch.equal(value, before[key])
