from __future__ import annotations

import copy
import io
import math

import pytest
import torch

from models.baselines.lipgan_discriminator import LipGANDiscriminator, SyncAdversarialLoss, lipgan_contrastive_loss


def adversary() -> SyncAdversarialLoss:
    torch.manual_seed(0)
    net = LipGANDiscriminator(0.125)
    return SyncAdversarialLoss(net, torch.optim.Adam(net.parameters(), 1e-3))


def batch(num: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    fake, real = torch.rand(2, num, 3, 96, 96, generator=generator)
    return fake, real, torch.randn(num, 1, 80, 27, generator=generator)


def test_discriminator_parameters_at_width_1_are_those_of_the_layer_table() -> None:
    def normed(inputs: int, outputs: int, kernel_area: int) -> int:
        return inputs * outputs * kernel_area + 2 * outputs

    with torch.device("meta"):
        net = LipGANDiscriminator()
    face = normed(3, 64, 49) + normed(64, 128, 25) + normed(128, 256, 9) + normed(256, 512, 9) + normed(512, 512, 9)
    face += 512 * 512 * 9 + 512
    audio = normed(1, 64, 9) + normed(64, 128, 9) + normed(128, 256, 9) + 2 * normed(256, 256, 9) + normed(256, 512, 9)
    audio += 512 * 512 * 12 + 512
    assert sum(parameter.numel() for parameter in net.parameters()) == face + audio == 12_288_512


def test_distance_is_that_of_unit_vectors() -> None:
    torch.manual_seed(0)
    net = LipGANDiscriminator(0.125)
    faces, mel = torch.rand(4, 3, 96, 96), torch.randn(4, 1, 80, 27)
    with torch.autocast("cpu", torch.bfloat16):
        assert net(faces, mel).dtype == torch.float32
    distance = net(faces, mel)
    face, audio = (tower(x).flatten(1) for tower, x in ((net.face_encoder, faces), (net.audio_encoder, mel)))
    # The law of cosines.
    cosine = torch.nn.functional.cosine_similarity(face, audio)
    torch.testing.assert_close(distance, (2 - 2 * cosine).sqrt(), rtol=1e-4, atol=1e-5)
    assert distance.std() > 0
    torch.testing.assert_close(net(faces[1:2], mel[1:2]), distance[1:2], rtol=1e-4, atol=1e-5)


def test_discriminator_learns_which_audio_belongs_to_which_face() -> None:
    torch.manual_seed(0)
    net = LipGANDiscriminator(0.125)
    faces, mel = torch.rand(4, 3, 96, 96), torch.randn(4, 1, 80, 27)
    pairs_of = torch.cat((faces, faces)), torch.cat((mel, mel.roll(1, 0)))
    is_unsynced = torch.arange(8) >= 4
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(30):
        loss = lipgan_contrastive_loss(net(*pairs_of), is_unsynced)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    distance = net(*pairs_of)
    assert distance[:4].max() < distance[4:].min()


def test_contrastive_loss_closed_form() -> None:
    distance = torch.tensor([0.0, 0.5, 2.0, 0.0, 0.25, 1.0, 2.0], requires_grad=True)
    is_unsynced = torch.tensor([False, False, False, True, True, True, True])
    loss = lipgan_contrastive_loss(distance, is_unsynced)
    assert loss.item() == pytest.approx((0 + 0.25 + 4 + 1 + 0.5625 + 0 + 0) / 7)
    loss.backward()
    assert distance.grad is not None
    expected = torch.tensor([0.0, 1.0, 4.0, -2.0, -1.5, 0.0, 0.0]) / 7
    torch.testing.assert_close(distance.grad, expected)
    half = lipgan_contrastive_loss(torch.tensor([math.sqrt(0.5)], dtype=torch.bfloat16), torch.zeros(1))
    assert half.dtype == torch.float32 and half.item() == pytest.approx(0.5, rel=0.01)
    with pytest.raises(ValueError, match="shapes"):
        lipgan_contrastive_loss(torch.ones(2), torch.ones(2, 1))


@pytest.mark.slow
def test_a_step_pushes_true_pairs_together_and_others_apart() -> None:
    loss = adversary()
    fake, real, mel = batch()
    fake.requires_grad_()
    torch.manual_seed(3)
    steps = [loss.train_discriminator(fake, real, mel) for _ in range(30)]
    assert steps[-1]["d_loss"] < 0.5 * steps[0]["d_loss"]
    for step in steps:
        torch.testing.assert_close(step["d_loss"], step["d_synced"] + step["d_unsynced"])
    assert fake.grad is None
    with torch.no_grad():
        own = loss.discriminator(real, mel)
        assert own.max() < loss.discriminator(real, mel.roll(3, 0)).min()
        assert own.max() < loss.discriminator(fake, mel).min()


def test_unsynced_pairs_are_generated_faces_or_other_audio_by_a_coin_that_a_seed_repeats() -> None:
    fake, real, mel = batch()
    loss = adversary()
    calls: list[tuple[torch.Tensor, torch.Tensor]] = []
    loss.discriminator.register_forward_pre_hook(lambda module, inputs: calls.append(inputs))
    coins = []
    for seed in (*range(8), *range(8)):
        calls.clear()
        torch.manual_seed(seed)
        loss.train_discriminator(fake, real, mel)
        (synced_faces, synced_mel), (faces, other) = calls
        assert torch.equal(synced_faces, real) and torch.equal(synced_mel, mel)
        is_generated = torch.equal(faces, fake)
        assert is_generated or torch.equal(faces, real)
        assert torch.equal(other, mel if is_generated else mel.roll(3, 0))
        coins.append(is_generated)
    assert coins[:8] == coins[8:] and set(coins) == {True, False}


def test_the_generators_loss_is_that_of_synced_pairs_and_leaves_the_discriminator_alone() -> None:
    loss = adversary()
    fake, _, mel = batch()
    fake.requires_grad_()
    before = copy.deepcopy(loss.discriminator.state_dict())
    value = loss(fake, mel)
    assert value.item() == pytest.approx(loss.discriminator(fake, mel).square().mean().item(), rel=1e-5)
    value.backward()
    assert fake.grad is not None and fake.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in loss.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in loss.discriminator.state_dict().items())


def test_a_saved_adversary_goes_on_the_same_and_a_loss_that_is_not_finite_stops_it() -> None:
    fake, real, mel = batch()
    first, second = adversary(), adversary()
    first.train_discriminator(fake, real, mel)
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    saved.seek(0)
    second.load_state_dict(torch.load(saved, weights_only=True))
    torch.manual_seed(5)
    one = first.train_discriminator(fake, real, mel)["d_loss"]
    torch.manual_seed(5)
    assert torch.equal(one, second.train_discriminator(fake, real, mel)["d_loss"])
    with pytest.raises(FloatingPointError, match="d_loss"):
        first.train_discriminator(fake, real * torch.nan, mel)
