from __future__ import annotations

import pytest
import torch

from models.baselines.speech2vid import Speech2Vid, Speech2VidConfig


def small(num_stills: int = 5) -> Speech2Vid:
    torch.manual_seed(3)
    return Speech2Vid(Speech2VidConfig(width=0.125, num_stills=num_stills))


def batch(num: int = 2, frames: int = 3, num_stills: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(num, frames, 1, 12, 35, generator=generator),
        torch.rand(num, frames, 3 * num_stills, 96, 96, generator=generator),
    )


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def block(inputs: int, outputs: int, kernel_area: int) -> int:
    """Convolution with bias, scale and shift of its normalisation."""
    return inputs * outputs * kernel_area + outputs + 2 * outputs


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


@pytest.mark.parametrize("num_stills", [1, 5])
def test_parameters_at_width_1_are_those_of_the_layer_table(num_stills: int) -> None:
    with torch.device("meta"):
        net = Speech2Vid(Speech2VidConfig(num_stills=num_stills))
    audio = block(1, 64, 9) + block(64, 128, 9) + block(128, 256, 9) + block(256, 256, 9) + block(256, 512, 9)
    audio += linear(512 * 6 * 9, 512) + linear(512, 256)
    stages = block(3 * num_stills, 96, 49) + block(96, 256, 25)
    identity = block(256, 512, 9) + 2 * block(512, 512, 9) + linear(512 * 6 * 6, 512) + linear(512, 256)
    grid = linear(256 + 256, 2 * 6 * 6)
    decoder = block(2, 512, 36) + block(512, 256, 25) + block(256 + 256, 96, 25) + block(96 + 256, 96, 25)
    output = block(96 + 96, 64, 25) + (64 * 3 * 25 + 3)
    assert num_parameters(net.audio_encoder) == audio
    assert num_parameters(net.identity_stages) + num_parameters(net.identity_head) == stages + identity
    assert num_parameters(net) == audio + stages + identity + grid + decoder + output
    assert num_parameters(net) == {1: 38_270_667, 5: 38_327_115}[num_stills]


def test_the_smallest_map_is_6x6() -> None:
    net = small()
    seen = []
    for module in (net.audio_encoder[6], net.identity_stages[-1], net.grid, *net.decoder_stages):
        module.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape[2:])))
    net(*batch(1, 1))
    assert sorted(seen) == [(6, 6), (6, 6), (6, 6), (6, 9), (12, 12), (24, 24)]


@pytest.mark.parametrize("num_stills", [1, 5])
def test_output_shape_and_range(num_stills: int) -> None:
    out = small(num_stills)(*batch(num_stills=num_stills))
    assert out.shape == (2, 3, 3, 96, 96) and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1


def test_frames_are_independent_in_eval_mode() -> None:
    net = small().eval()
    mfcc, faces = batch()
    together = net(mfcc, faces)
    alone = net(mfcc[1:, 2:], faces[1:, 2:])
    torch.testing.assert_close(alone, together[1:, 2:], rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter_and_both_inputs() -> None:
    # In training mode BatchNorm takes the gradient of the bias before it.
    net = small().eval()
    mfcc, faces = (x.requires_grad_() for x in batch())
    net(mfcc, faces).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name
    assert mfcc.grad is not None and mfcc.grad.abs().sum() > 0
    assert faces.grad is not None and (faces.grad.abs().sum(dim=(0, 1, 3, 4)) > 0).all()


def test_channels_last_and_autocast_agree_with_float32() -> None:
    net = small().eval()
    mfcc, faces = batch()
    with torch.no_grad():
        expected = net(mfcc, faces)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        torch.testing.assert_close(net(mfcc, faces), expected, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            out = net(mfcc, faces)
    assert out.dtype == torch.float32
    assert (out - expected).abs().mean() < 0.02


@pytest.mark.slow
def test_overfits_colours_that_only_the_audio_tells() -> None:
    net = small()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    mfcc, faces = batch(4, 1)
    faces = faces[:1].expand(4, -1, -1, -1, -1)
    target = torch.rand(4, 1, 3, 1, 1).expand(-1, -1, -1, 96, 96)
    for _ in range(30):
        loss = torch.nn.functional.l1_loss(net(mfcc, faces), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # The best that one picture for all four can do.
    deaf = (target - target.median(dim=0, keepdim=True).values).abs().mean()
    assert loss < 0.75 * deaf


def test_bad_input_is_refused() -> None:
    mfcc, faces = batch()
    with pytest.raises(ValueError, match=r"Speech2Vid takes audio \[B, T, 1, 12, 35\].*\(2, 3, 15, 96, 96\)"):
        small(num_stills=1)(mfcc, faces)
    with pytest.raises(ValueError, match="agree in B and T"):
        small()(mfcc[:1], faces)
    with pytest.raises(ValueError, match="width"):
        Speech2VidConfig(width=-1)
    with pytest.raises(ValueError, match="num_stills"):
        Speech2VidConfig(num_stills=0)
