from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
import torch

from models.choices import CbamIn
from models.copied_face import COPY_MARGIN, copy_logits
from models.generator import Generator, GeneratorConfig, face_input

VARIANTS = list(itertools.product((False, True), repeat=2))


def small(use_lstm: bool = True, use_cbam: bool = True, **changes: Any) -> Generator:
    torch.manual_seed(3)
    return Generator(GeneratorConfig(width=0.125, use_lstm=use_lstm, use_cbam=use_cbam, lstm_hidden=16, **changes))


def batch(num: int = 2, frames: int = 3, num_steps: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(num, frames, 1, 80, num_steps, generator=generator),
        torch.rand(num, frames, 6, 96, 96, generator=generator),
    )


def count(**changes: Any) -> int:
    """Number of parameters."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Generator(GeneratorConfig(**changes)).parameters())


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
    assert count(use_lstm=use_lstm, use_cbam=use_cbam) == expected
    assert count(use_lstm=use_lstm, use_cbam=use_cbam, mel_steps=27) == expected


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
    elsewhere = {"lstm_over": "frames", "cbam_in": "both", "cbam_reduction": 4}
    decoder = {"cbam_in": "decoder"}
    for (use_lstm, use_cbam), changes in itertools.product(VARIANTS, ({}, elsewhere, decoder)):
        net = small(use_lstm, use_cbam, **changes).train(training)
        assert torch.equal(torch.rand(4), next_random)
        state = net.state_dict()
        assert all(
            torch.equal(state[key], value)
            for key, value in plain.state_dict().items()
            if "running" not in key and "num_batches" not in key
        )
        net.load_state_dict(shared, strict=False)
        assert torch.equal(net(mel, faces), expected)


def test_variants_share_the_start_of_what_they_have_in_common() -> None:
    whole = small().state_dict()
    for use_lstm, use_cbam in VARIANTS:
        state = small(use_lstm, use_cbam).state_dict()
        assert set(state) <= set(whole)
        assert all(torch.equal(value, whole[key]) for key, value in state.items())
    both, decoder = (small(cbam_in=part).state_dict() for part in ("both", "decoder"))
    assert set(whole) | set(decoder) == set(both)
    assert all(torch.equal(value, both[key]) for key, value in (*whole.items(), *decoder.items()))


def test_frames_are_independent_in_eval_mode() -> None:
    net = small().eval()
    mel, faces = batch()
    together = net(mel, faces)
    alone = net(mel[1:, 2:], faces[1:, 2:])
    torch.testing.assert_close(alone, together[1:, 2:], rtol=1e-4, atol=1e-5)


def test_parameters_of_the_other_placements_at_width_1() -> None:
    frames = 2_101_248 + 512 * 512 + 512  # LSTM 512 to 512, and its projection
    assert count(lstm_over="frames", use_cbam=False) == 36_298_035 + frames
    gates = {64: 580, 128: 2_184, 256: 8_464, 384: 18_840, 512: 33_312}  # the channel gates, C to C / 16 to C
    decoder = sum(gates[c] for c in (512, 512, 384, 256, 128, 64))
    spatial = 5 * 100  # 7x7 over two maps, and its norm, on all but the 3x3 map
    assert count(cbam_in="both") == count() + decoder + spatial
    assert count(cbam_in="decoder") == count(use_cbam=False) + decoder + spatial
    assert count(cbam_in="both", use_cbam=False) == count(use_cbam=False)


@pytest.mark.parametrize(
    ("reduction", "encoders", "decoder"), [(4, 220_900, 381_700), (8, 111_660, 192_028), (16, 57_300, 97_192)]
)
def test_parameters_of_cbam_by_position_and_reduction_at_width_1(reduction: int, encoders: int, decoder: int) -> None:
    found = [count(cbam_in=part, cbam_reduction=reduction) - count(use_cbam=False) for part in get_args(CbamIn)]
    assert found == [encoders, decoder, encoders + decoder]


@pytest.mark.parametrize(("sizes", "mel_steps"), [((6,), 16), ((1, 5), 16), ((2, 2, 2), 27), ((1, 1, 1, 1, 1, 1), 16)])
def test_a_clip_in_pieces_is_generated_as_a_whole(sizes: tuple[int, ...], mel_steps: int) -> None:
    net = small(lstm_over="frames", mel_steps=mel_steps).eval()
    assert net.frame_lstm is not None
    torch.nn.init.normal_(net.frame_lstm.projection.weight, std=1000.0)  # untrained layers let little through
    mel, faces = batch(2, 6, mel_steps)
    with torch.no_grad():
        whole = net(mel, faces)
        state, pieces = None, []
        for mel_piece, faces_piece in zip(mel.split(sizes, dim=1), faces.split(sizes, dim=1), strict=True):
            piece, state = net.forward_with_state(mel_piece, faces_piece, state)
            pieces.append(piece)
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-4, atol=1e-5)
        assert (net(mel[:, 3:], faces[:, 3:]) - whole[:, 3:]).abs().max() > 1e-3  # what was before is heard


@pytest.mark.parametrize(
    ("lstm_over", "mel_steps", "num_steps"), [("context", 16, 80), ("context_both", 16, 96), ("context_both", 27, 107)]
)
def test_an_lstm_over_context_reads_the_mel_around_the_window_of_each_frame(
    lstm_over: str, mel_steps: int, num_steps: int
) -> None:
    net, plain = (small(mel_steps=mel_steps, **one).eval() for one in ({"lstm_over": lstm_over}, {"use_lstm": False}))
    assert net.mel_lstm is not None
    mel, faces = torch.randn(2, 3, 1, 80, num_steps), batch()[1]
    window = slice(64, 64 + mel_steps)
    with torch.no_grad():
        torch.testing.assert_close(net(mel, faces), plain(mel[..., window], faces), rtol=1e-4, atol=1e-5)
        torch.nn.init.normal_(net.mel_lstm.projection.weight, std=1e6)  # untrained layers let little through
        whole = net(mel, faces)
        torch.testing.assert_close(net(mel[1:, 2:], faces[1:, 2:]), whole[1:, 2:], rtol=1e-4, atol=1e-5)
        outside = [*range(64), *range(64 + mel_steps, num_steps)]
        other = mel.clone()
        other[..., outside] = -4
        assert (net(other, faces) - whole).abs().amax(dim=(2, 3, 4)).min() > 1e-3


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
        try:
            with torch.autocast("cpu", torch.bfloat16):
                out = net(mel, faces)
        except RuntimeError as error:
            if "could not create a primitive" not in str(error):
                raise
            pytest.skip(f"this processor runs no LSTM in bfloat16: {error}")
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
    for lstm_over, message in (("context", "have 80 steps, got 16"), ("context_both", "have 96 steps, got 16")):
        with pytest.raises(ValueError, match=message):
            small(lstm_over=lstm_over)(mel, faces)
    for net in (small(), small(use_lstm=False, lstm_over="context")):
        with pytest.raises(ValueError, match="have 16 steps, got 80"):
            net(torch.zeros(2, 3, 1, 80, 80), faces)
    with pytest.raises(ValueError, match="width"):
        GeneratorConfig(width=0)
    with pytest.raises(ValueError, match="mel or frames or context or context_both, got 'words'"):
        GeneratorConfig(lstm_over="words")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="have 27 steps, got 16"):
        small(mel_steps=27)(mel, faces)
    with pytest.raises(ValueError, match="lstm_hidden"):
        GeneratorConfig(lstm_hidden=0)
    with pytest.raises(ValueError, match="cbam_in must be encoders or decoder or both, got 'output'"):
        GeneratorConfig(cbam_in="output")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cbam_reduction must be at least 1, got 0"):
        GeneratorConfig(cbam_reduction=0)
    with pytest.raises(ValueError, match="mel_steps must be 16 or 27, got 20"):
        GeneratorConfig(mel_steps=20)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="predicts must be image or change, got 'mouth'"):
        GeneratorConfig(predicts="mouth")  # type: ignore[arg-type]


@pytest.mark.parametrize("use_cbam", [True, False])
def test_a_network_that_predicts_the_change_starts_with_a_copy_of_its_input(use_cbam: bool) -> None:
    mel, _ = batch()
    target, reference = torch.rand(2, 2, 3, 3, 96, 96).clamp(COPY_MARGIN, 1 - COPY_MARGIN)
    out = small(use_cbam=use_cbam, predicts="change")(mel, face_input(target, reference))
    torch.testing.assert_close(out[..., :48, :], target[..., :48, :])
    far_from_the_mouth = (..., slice(48, 52), slice(0, 4))
    torch.testing.assert_close(out[far_from_the_mouth], reference[far_from_the_mouth], atol=0.08, rtol=0)


def test_the_copied_face_keeps_the_colour_of_the_mouth_and_not_its_shape() -> None:
    wide, tall = torch.full((2, 1, 3, 96, 96), 0.8)
    wide[..., 68:74, 36:60] = 0.2  # a wide mouth, and a tall one of the same area in the same place
    tall[..., 65:77, 42:54] = 0.2
    pose = torch.full((1, 3, 96, 96), 0.8)
    copies = [torch.sigmoid(copy_logits(pose, reference)) for reference in (wide, tall)]
    assert (copies[0] - copies[1]).abs().max() < 0.15 < (wide - tall).abs().max()
    assert 0.3 < copies[0][..., 66:76, 42:54].mean() < 0.75


def test_the_change_may_be_any_and_white_and_black_stay_finite() -> None:
    mel, _ = batch()
    faces = face_input(torch.ones(2, 3, 3, 96, 96), torch.zeros(2, 3, 3, 96, 96))
    net = small(predicts="change")
    torch.testing.assert_close(net(mel, faces)[..., 48:, :], torch.full((2, 3, 3, 48, 96), COPY_MARGIN))
    torch.nn.init.constant_(net.output[-1].bias, 20.0)
    assert net(mel, faces).min() > 0.99


def test_both_outputs_have_the_same_initial_weights_but_for_the_last_layer() -> None:
    image, change = (small(predicts=predicts).state_dict() for predicts in ("image", "change"))
    differing = [name for name in image if not torch.equal(image[name], change[name])]
    assert image.keys() == change.keys() and differing == ["output.1.weight", "output.1.bias"]
