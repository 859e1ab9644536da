from __future__ import annotations

import torch

from models.discriminator import QualityDiscriminator


def test_parameter_count_at_width_1() -> None:
    with torch.device("meta"):
        net = QualityDiscriminator()
    assert sum(parameter.numel() for parameter in net.parameters()) == 14_113_793


def test_one_unbounded_logit_per_frame() -> None:
    torch.manual_seed(0)
    net = QualityDiscriminator(0.125)
    logits = net(torch.rand(3, 3, 48, 96))
    assert logits.shape == (3,) and logits.dtype == torch.float32
    *_, (name, last_bias) = net.named_parameters()
    assert name == "layers.13.bias"
    torch.nn.init.constant_(last_bias, 5.0)
    assert (net(torch.rand(3, 3, 48, 96)) > 1).all()


def test_it_tells_frames_apart_before_any_training() -> None:
    torch.manual_seed(0)
    sharp = torch.rand(16, 3, 48, 96)
    smooth = torch.nn.functional.avg_pool2d(sharp, 5, stride=1, padding=2)
    logits = QualityDiscriminator(0.25)(torch.cat((sharp, smooth))).detach()
    assert logits.std() > 0.01  # 4e-7 with PyTorch's default initialisation


def test_frames_are_scored_independently() -> None:
    net = QualityDiscriminator(0.125)
    lower = torch.rand(3, 3, 48, 96)
    torch.testing.assert_close(net(lower)[1:2], net(lower[1:2]), rtol=1e-4, atol=1e-6)
