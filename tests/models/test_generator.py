from __future__ import annotations

import itertools

import pytest
import torch

from models.generator import Generator, GeneratorConfig, face_input

VARIANTS = list(itertools.product((False, True), repeat=2))


def small(use_lstm: bool = True, use_cbam: bool = True) -> Generator:
    torch.manual_seed(3)
    return Generator(GeneratorConfig(width=0.125, use_lstm=use_lstm, use_cbam=use_cbam, lstm_hidden=16))


def batch(num: int = 2, frames: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(num, frames, 1, 80, 16, generator=generator),
        torch.rand(num, frames, 6, 96, 96, generator=generator),
    )


@pytest.mark.parametrize(
    ("use_lstm", "use_cbam", "expected"),
    [
        (False, False, 36_298_035),
        (False, True, 36_355_335),
        (True, False, 36_664_707),
        (True, True, 36_722_007),
    ],
)
def test_parameter_counts_at_width_1(use_lstm: bool, use_cbam: bool, expected: int) -> None:
    with torch.device("meta"):
        net = Generator(GeneratorConfig(use_lstm=use_lstm, use_cbam=use_cbam))
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


def test_parts_at_width_1() -> None:
    with torch.device("meta"):
        net = Generator(GeneratorConfig(use_lstm=False, use_cbam=False))
    parts = (net.face_stages, net.audio_encoder, net.decoder_stages, net.output)
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
    assert counts == [8_171_056, 2_812_672, 25_291_072, 23_235]


@pytest.mark.parametrize(("use_lstm", "use_cbam"), VARIANTS)
def test_output_shape_and_range(use_lstm: bool, use_cbam: bool) -> None:
    out = small(use_lstm, use_cbam)(*batch())
    assert out.shape == (2, 3, 3, 96, 96) and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1


@pytest.mark.parametrize("training", [True, False])
def test_variants_share_weights_random_state_and_output_at_step_0(training: bool) -> None:
    mel, faces = batch()
    plain = small(use_lstm=False, use_cbam=False).train(training)
    next_random = torch.rand(4)
    expected = plain(mel, faces)
    shared = plain.state_dict()
    for use_lstm, use_cbam in VARIANTS:
        net = small(use_lstm, use_cbam).train(training)
        assert torch.equal(torch.rand(4), next_random)
        state = net.state_dict()
        assert all(
            torch.equal(state[key], value)
            for key, value in plain.state_dict().items()
            if "running" not in key and "num_batches" not in key
        )
        net.load_state_dict(shared, strict=False)
        assert torch.equal(net(mel, faces), expected)


def test_frames_are_independent_in_eval_mode() -> None:
    net = small().eval()
    mel, faces = batch()
    together = net(mel, faces)
    alone = net(mel[1:, 2:], faces[1:, 2:])
    torch.testing.assert_close(alone, together[1:, 2:], rtol=1e-4, atol=1e-5)


def test_audio_and_both_faces_reach_the_output() -> None:
    net = small()
    mel, faces = (x.requires_grad_() for x in batch())
    net(mel, faces).square().sum().backward()
    assert mel.grad is not None and faces.grad is not None
    assert mel.grad.abs().sum() > 0
    assert (faces.grad.abs().sum(dim=(0, 1, 3, 4)) > 0).all()


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


def test_face_input_hides_the_targets_lower_half_only() -> None:
    target, reference = torch.rand(2, 5, 3, 96, 96) + 0.1, torch.rand(2, 5, 3, 96, 96)
    faces = face_input(target, reference)
    assert faces.shape == (2, 5, 6, 96, 96)
    assert torch.equal(faces[:, :, :3, :48], target[..., :48, :])
    assert (faces[:, :, :3, 48:] == 0).all()
    assert torch.equal(faces[:, :, 3:], reference)
    assert (target > 0).all()


def test_bad_input_is_refused() -> None:
    mel, faces = batch()
    with pytest.raises(ValueError, match="agree"):
        small()(mel[:, :2], faces)
    with pytest.raises(ValueError, match="width"):
        GeneratorConfig(width=0)
    with pytest.raises(ValueError, match="lstm_hidden"):
        GeneratorConfig(lstm_hidden=0)
