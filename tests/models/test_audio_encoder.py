from __future__ import annotations

from typing import get_args

import pytest
import torch

from models.audio_encoder import AudioEncoder, FrameLSTM, MelLSTM
from models.choices import MelSteps


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts() -> None:
    assert num_parameters(AudioEncoder(num_residual_256=1)) == 2_812_672
    assert num_parameters(AudioEncoder(num_residual_256=2)) == 3_403_264
    assert num_parameters(MelLSTM(256)) == num_parameters(MelLSTM(256, before=64)) == 366_672
    assert num_parameters(MelLSTM(256, before=64, after=16)) == 366_472
    assert num_parameters(FrameLSTM(512)) == 2_101_248 + 512 * 512 + 512


@pytest.mark.parametrize(
    ("mel_steps", "expected"),
    [(16, [(80, 16), (27, 16), (9, 6), (3, 3)]), (27, [(80, 27), (27, 27), (9, 9), (3, 3)])],
)
def test_map_sizes(mel_steps: MelSteps, expected: list[tuple[int, int]]) -> None:
    encoder = AudioEncoder(0.25, mel_steps=mel_steps)
    sizes = []
    for stage in encoder.stages:
        stage.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[2:])))
    mel = torch.randn(2, 1, 80, mel_steps, requires_grad=True)
    out = encoder.eval()(mel)
    assert out.shape == (2, 128, 1, 1)
    assert sizes == expected
    out.sum().backward()
    assert mel.grad is not None and (mel.grad.abs().sum(dim=(0, 1, 2)) > 0).all()  # every step counts


def test_the_parameters_do_not_depend_on_the_window() -> None:
    short, long = (AudioEncoder(0.25, mel_steps=steps).state_dict() for steps in get_args(MelSteps))
    assert {name: tensor.shape for name, tensor in long.items()} == {n: tensor.shape for n, tensor in short.items()}


def test_linear_head_has_the_asked_size_and_negative_values() -> None:
    out = AudioEncoder(0.25, embedding_dim=48, linear_head=True)(torch.randn(8, 1, 80, 16))
    assert out.shape == (8, 48, 1, 1)
    assert out.min() < 0


@pytest.mark.parametrize(("before", "after"), [(0, 0), (64, 0), (64, 16)])
def test_lstm_starts_as_the_identity(before: int, after: int) -> None:
    mel = torch.randn(3, 1, 80, before + 16 + after)
    out = MelLSTM(32, before=before, after=after)(mel)
    assert torch.equal(out, mel[..., before : before + 16])


@pytest.mark.parametrize(("after", "last"), [(0, 64 + 8), (16, 64 + 16 + 15)])
def test_lstm_reads_the_steps_before_the_window_and_with_two_directions_those_after_it(after: int, last: int) -> None:
    lstm = MelLSTM(32, before=64, after=after)
    torch.nn.init.normal_(lstm.projection.weight)
    mel = torch.randn(1, 1, 80, 64 + 16 + after, requires_grad=True)
    lstm(mel)[..., 8].sum().backward()
    assert mel.grad is not None
    assert torch.argwhere(mel.grad.abs().sum(dim=(0, 1, 2))).flatten().tolist() == list(range(last + 1))


def test_lstm_is_causal_along_the_steps() -> None:
    lstm = MelLSTM(32)
    torch.nn.init.normal_(lstm.projection.weight)
    mel = torch.randn(2, 1, 80, 16)
    changed = mel.clone()
    changed[..., 10:] += 1
    before, after = lstm(mel), lstm(changed)
    torch.testing.assert_close(before[..., :10], after[..., :10])
    # State: one changed step alters the steps after it.
    changed = mel.clone()
    changed[..., 4] += 1
    assert (lstm(changed) - before)[..., 5].abs().max() > 1e-4


def test_lstm_over_frames_starts_as_the_identity_and_carries_its_state() -> None:
    lstm = FrameLSTM(16)
    audio = torch.randn(2, 9, 16)
    assert torch.equal(lstm(audio)[0], audio)
    torch.nn.init.normal_(lstm.projection.weight)
    whole, _ = lstm(audio)
    first, state = lstm(audio[:, :4])
    rest, _ = lstm(audio[:, 4:], state)
    torch.testing.assert_close(torch.cat((first, rest), dim=1), whole)
    forgetful, _ = lstm(audio[:, 4:])
    assert (forgetful - whole[:, 4:]).abs().max() > 1e-3
