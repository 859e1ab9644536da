from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import pytest
import torch

from models.baselines.lipgan import LipGANConfig, LipGANGenerator, lipgan_face_input
from models.baselines.lipgan_discriminator import LipGANDiscriminator
from models.choices import MelSteps


def small(mel_steps: MelSteps = 27) -> LipGANGenerator:
    torch.manual_seed(3)
    return LipGANGenerator(LipGANConfig(width=0.125, mel_steps=mel_steps))


def batch(num: int = 2, frames: int = 3, num_steps: int = 27) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(num, frames, 1, 80, num_steps, generator=generator),
        torch.rand(num, frames, 6, 96, 96, generator=generator),
    )


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def block(inputs: int, outputs: int, kernel_area: int) -> int:
    """Convolution with bias, scale and shift of its normalisation."""
    return inputs * outputs * kernel_area + outputs + 2 * outputs


def pairs(channels: int, count: int) -> int:
    return count * 2 * block(channels, channels, 9)


def test_generator_parameters_at_width_1_are_those_of_the_layer_table() -> None:
    with torch.device("meta"):
        net = LipGANGenerator()
    face = (
        block(6, 32, 49)
        + (block(32, 64, 25) + pairs(64, 2))
        + (block(64, 128, 9) + pairs(128, 3))
        + (block(128, 256, 9) + pairs(256, 2))
        + (block(256, 512, 9) + pairs(512, 2))
        + block(512, 512, 9)
    )
    face_head = block(512, 512, 9) + block(512, 512, 1)
    audio = (
        (block(1, 128, 9) + pairs(128, 3))
        + (block(128, 256, 9) + pairs(256, 2))
        + (block(256, 512, 9) + pairs(512, 2))
        + (block(512, 512, 9) + pairs(512, 1))
        + block(512, 512, 12)
        + block(512, 512, 1)
    )
    decoder = (
        block(512 + 512, 512, 9)
        + (block(512 + 512, 512, 9) + pairs(512, 2))
        + (block(512 + 512, 256, 9) + pairs(256, 2))
        + (block(256 + 256, 128, 9) + pairs(128, 2))
        + (block(128 + 128, 64, 9) + pairs(64, 2))
        + block(64 + 64, 32, 9)
    )
    output = block(32 + 32, 16, 9) + block(16, 16, 9) + (16 * 3 + 3)
    assert num_parameters(net.face_stages) == face
    assert num_parameters(net.face_head) == face_head
    assert num_parameters(net.audio_encoder) == audio
    assert num_parameters(net.decoder_stages) == decoder
    assert num_parameters(net) == face + face_head + audio + decoder + output == 69_234_835


@pytest.mark.parametrize(
    ("mel_steps", "of_generator", "of_discriminator"),
    [
        (
            27,
            [(27, 27), (27, 14), (9, 7), (3, 4), (1, 1), (1, 1)],
            [(27, 27), (27, 27), (27, 14), (27, 14), (9, 7), (3, 4), (1, 1)],
        ),
        (
            16,
            [(27, 16), (27, 16), (9, 8), (3, 4), (1, 1), (1, 1)],
            [(27, 16), (27, 16), (27, 16), (27, 16), (9, 8), (3, 4), (1, 1)],
        ),
    ],
)
def test_map_sizes_of_both_audio_towers(
    mel_steps: MelSteps, of_generator: list[tuple[int, int]], of_discriminator: list[tuple[int, int]]
) -> None:
    sizes: list[tuple[int, int]] = []

    def record(_module: torch.nn.Module, _inputs: object, out: torch.Tensor) -> None:
        sizes.append((out.shape[2], out.shape[3]))

    mel = torch.randn(2, 1, 80, mel_steps)
    for tower in (small(mel_steps).audio_encoder, LipGANDiscriminator(0.125, mel_steps).audio_encoder):
        for layer in tower:
            layer.register_forward_hook(record)
        tower(mel)
    assert (sizes[:6], sizes[6:]) == (of_generator, of_discriminator)


@pytest.mark.parametrize("build", [small, partial(LipGANDiscriminator, 0.125)])
def test_the_parameters_do_not_depend_on_the_window(build: Callable[[MelSteps], torch.nn.Module]) -> None:
    short, long = (build(steps).state_dict() for steps in get_args(MelSteps))
    assert {name: tensor.shape for name, tensor in short.items()} == {n: tensor.shape for n, tensor in long.items()}


@pytest.mark.parametrize("mel_steps", get_args(MelSteps))
def test_output_shape_and_range(mel_steps: MelSteps) -> None:
    out = small(mel_steps)(*batch(num_steps=mel_steps))
    assert out.shape == (2, 3, 3, 96, 96) and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1


def test_frames_are_independent_in_eval_mode() -> None:
    net = small().eval()
    mel, faces = batch()
    together = net(mel, faces)
    alone = net(mel[1:, 2:], faces[1:, 2:])
    torch.testing.assert_close(alone, together[1:, 2:], rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter_and_both_inputs() -> None:
    # In training mode BatchNorm takes the gradient of the bias before it.
    net = small().eval()
    mel, faces = (x.requires_grad_() for x in batch())
    net(mel, faces).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name
    assert mel.grad is not None and mel.grad.abs().sum() > 0
    assert faces.grad is not None and (faces.grad.abs().sum(dim=(0, 1, 3, 4)) > 0).all()


def test_channels_last_and_autocast_agree_with_float32() -> None:
    net = small().eval()
    mel, faces = batch()
    with torch.no_grad():
        expected = net(mel, faces)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        torch.testing.assert_close(net(mel, faces), expected, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            out = net(mel, faces)
    assert out.dtype == torch.float32
    assert (out - expected).abs().mean() < 0.02


@pytest.mark.slow
def test_overfits_colours_that_only_the_audio_tells() -> None:
    net = small()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    mel, faces = batch(4, 1)
    faces = faces[:1].expand(4, -1, -1, -1, -1)
    target = torch.rand(4, 1, 3, 1, 1).expand(-1, -1, -1, 96, 96)
    for _ in range(20):
        loss = torch.nn.functional.l1_loss(net(mel, faces), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # The best that one picture for all four can do.
    deaf = (target - target.median(dim=0, keepdim=True).values).abs().mean()
    assert loss < 0.75 * deaf


def test_face_input_is_the_reference_then_the_target_without_its_lower_half() -> None:
    target, reference = torch.rand(2, 5, 3, 96, 96) + 0.1, torch.rand(2, 5, 3, 96, 96)
    faces = lipgan_face_input(target, reference)
    assert torch.equal(faces[:, :, :3], reference)
    assert torch.equal(faces[:, :, 3:, :48], target[..., :48, :])
    assert (faces[:, :, 3:, 48:] == 0).all()


def test_bad_input_is_refused() -> None:
    mel, faces = batch()
    with pytest.raises(ValueError, match=r"LipGANGenerator takes audio \[B, T, 1, 80, 27\].*\(2, 3, 1, 80, 16\)"):
        small()(mel[..., :16], faces)
    with pytest.raises(ValueError, match="agree in B and T"):
        small()(mel[:, :2], faces)
    with pytest.raises(ValueError, match="width"):
        LipGANConfig(width=0)
    with pytest.raises(ValueError, match="mel_steps must be 16 or 27, got 35"):
        LipGANConfig(mel_steps=35)  # type: ignore[arg-type]


def test_a_network_that_predicts_the_change_starts_with_a_copy_of_its_input() -> None:
    mel, _ = batch()
    target, reference = torch.rand(2, 2, 3, 3, 96, 96).clamp(0.1, 0.9)
    out = LipGANGenerator(LipGANConfig(width=0.125, predicts="change"))(mel, lipgan_face_input(target, reference))
    torch.testing.assert_close(out[..., :48, :], target[..., :48, :])
    torch.testing.assert_close(out[..., 48:52, :4], reference[..., 48:52, :4], atol=0.08, rtol=0)
