from __future__ import annotations

import math

import pytest
import torch

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


def test_temporal_loss_sees_changes_only() -> None:
    target = torch.rand(2, 5, 3, 4, 4)
    assert losses.temporal_loss(target + 0.25, target).item() == pytest.approx(0, abs=1e-6)  # off, but as steady
    trembling = target.clone()
    trembling[:, 1::2] += 0.5  # frames 1 and 3 of 5: each of the four changes is off by 0.5
    assert losses.temporal_loss(trembling, target).item() == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(ValueError, match="windows of at least 2 frames"):
        losses.temporal_loss(target[:, :1], target[:, :1])
    trembling[:, 3] -= 0.5  # frame 1 alone: two of four
    assert losses.temporal_loss(trembling, target).item() == pytest.approx(0.25, abs=1e-6)


def test_mouth_loss_is_l1_where_the_mouth_is() -> None:
    target = torch.rand(2, 5, 3, 96, 96)
    assert losses.mouth_loss(target + 0.25, target).item() == pytest.approx(0.25, abs=1e-6)
    rows, columns = torch.meshgrid((torch.arange(96) + 0.5) / 96, (torch.arange(96) + 0.5) / 96, indexing="ij")
    bell = torch.exp(-(((rows - 0.69) / 0.1) ** 2 + ((columns - 0.5) / 0.15) ** 2) / 2)
    off = target.clone()
    off[:, :, :, 60, 40] += 0.5
    assert losses.mouth_loss(off, target).item() == pytest.approx(float(0.5 * bell[60, 40] / bell.sum()), rel=1e-4)
    wide = torch.exp(-(((rows - 0.72) / 0.1) ** 2 + ((columns - 0.5) / 0.21) ** 2) / 2)
    in_box = losses.mouth_loss(off, target, is_box=True).item()
    assert in_box == pytest.approx(float(0.5 * wide[60, 40] / wide.sum()), rel=1e-4)
    with pytest.raises(ValueError, match="shapes"):
        losses.mouth_loss(target, target[:1])
    assert losses.mouth_loss(off[0, 0, 0], target[0, 0, 0]) > 0


def test_feature_loss_is_relative_to_the_real_maps() -> None:
    real = [torch.full((1, 2, 2, 2), 4.0), torch.full((1, 3, 1, 1), -0.5)]
    assert losses.feature_loss(real, real).item() == 0
    assert losses.feature_loss([torch.zeros_like(m) for m in real], real).item() == pytest.approx(1.0)
    off = [real[0] + 1.0, real[1] - 0.25]  # a quarter of 4, half of 0.5
    assert losses.feature_loss(off, real).item() == pytest.approx((0.25 + 0.5) / 2)
    for broken in ([], real[:1]):
        with pytest.raises(ValueError, match="as many maps"):
            losses.feature_loss(broken, real)


def test_feature_loss_moves_the_generated_maps_only() -> None:
    generated, real = torch.ones(1, 2, requires_grad=True), torch.zeros(1, 2, requires_grad=True)
    losses.feature_loss([generated], [real]).backward()
    assert real.grad is None
    assert generated.grad is not None and (generated.grad > 0).all()


def test_sync_loss_closed_form() -> None:
    half = torch.full((4,), 0.5)
    assert losses.sync_loss(half).item() == pytest.approx(math.log(2))
    mixed = torch.tensor([0.8, 0.3])
    squeezed = [0.9998 * probability + 0.0001 for probability in (0.8, 0.3)]
    expected = -(math.log(squeezed[0]) + math.log(1 - squeezed[1])) / 2
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
    assert (cosine.grad[:2] != 0).all()  # the worst window teaches most


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
    with pytest.raises(ValueError, match="square"):
        losses.info_nce(similarity[:3])


def test_info_nce_teaches_its_temperature() -> None:
    temperature = torch.tensor(0.1, requires_grad=True)
    losses.info_nce(torch.rand(4, 4), temperature).backward()
    assert temperature.grad is not None and temperature.grad.abs() > 0


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
