"""The LSTM over a mel window and the steps around it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.audio_encoder import ContextLSTM
from models.choices import LstmOver
from models.generator import Generator, GeneratorConfig

CONTEXTS: tuple[LstmOver, ...] = ("context", "context_both")


def build(both_ways: bool) -> ContextLSTM:
    torch.manual_seed(0)
    net = ContextLSTM(16, both_ways=both_ways)
    torch.nn.init.normal_(net.projection.weight)
    return net


@pytest.mark.parametrize("lstm_over", CONTEXTS)
def test_it_has_as_many_parameters_as_the_lstm_over_mel(lstm_over: LstmOver) -> None:
    def count(**changes: Any) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in Generator(GeneratorConfig(**changes)).parameters())

    plain, mel = count(use_lstm=False), count()
    assert count(lstm_over=lstm_over) - plain == pytest.approx(mel - plain, rel=0.01)


@pytest.mark.parametrize("both_ways", [False, True])
def test_before_training_it_returns_the_window(both_ways: bool) -> None:
    net = ContextLSTM(16, both_ways=both_ways)
    mel = torch.randn(2, 1, 80, net.num_steps)
    torch.testing.assert_close(net(mel), mel[..., 64:80], rtol=0, atol=0)


@pytest.mark.parametrize("both_ways", [False, True])
def test_a_step_before_the_window_changes_the_output(both_ways: bool) -> None:
    net = build(both_ways)
    mel = torch.randn(1, 1, 80, net.num_steps)
    other = mel.clone()
    other[..., 60] += 3
    assert (net(other) - net(mel))[..., 0].abs().max() > 1e-3


def test_only_the_lstm_with_both_ways_reads_ahead() -> None:
    for both_ways in (False, True):
        net = build(both_ways)
        mel = torch.randn(1, 1, 80, net.num_steps)
        other = mel.clone()
        other[..., 75:] += 3
        reads_ahead = bool((net(other) - net(mel))[..., :11].abs().max() > 1e-4)
        assert reads_ahead == both_ways


@pytest.mark.parametrize("lstm_over", CONTEXTS)
@pytest.mark.parametrize("sizes", [(5,), (2, 3), (1, 1, 1, 1, 1)])
def test_a_clip_in_pieces_equals_the_whole(lstm_over: LstmOver, sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = Generator(GeneratorConfig(width=0.0625, lstm_over=lstm_over, lstm_hidden=16)).eval()
    assert isinstance(net.mel_lstm, ContextLSTM)
    torch.nn.init.normal_(net.mel_lstm.projection.weight)
    mel, faces = torch.randn(1, 5, 1, 80, net.mel_lstm.num_steps), torch.rand(1, 5, 6, 96, 96)
    with torch.no_grad():
        whole = net(mel, faces)
        pieces = [net(*piece) for piece in zip(mel.split(sizes, 1), faces.split(sizes, 1), strict=True)]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-5)


def test_a_window_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs 80 mel steps, got 16"):
        ContextLSTM(16)(torch.zeros(1, 1, 80, 16))
