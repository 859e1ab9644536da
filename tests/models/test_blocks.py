from __future__ import annotations

import pytest
import torch

from models.blocks import ConvBlock, encoder_stage, scaled_channels


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        (512, 1.0, 512),
        (16, 0.25, 8),
        (32, 0.375, 16),
        (384, 0.375, 144),
        (96, 0.5, 48),
        (16, 2, 32),
    ],
)
def test_scaled_channels(channels: int, width: float, expected: int) -> None:
    assert scaled_channels(channels, width) == expected


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_width_must_be_positive(width: float) -> None:
    with pytest.raises(ValueError, match="width"):
        scaled_channels(64, width)


def test_residual_block_adds_its_input_before_relu() -> None:
    block = ConvBlock(4, 4, 3, 1, 1, residual=True).eval()
    for parameter in block.conv.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(block(x), x.relu())


def test_encoder_stage_counts_blocks_and_halves_the_size() -> None:
    stage = encoder_stage(3, 8, 3, 2, 1, num_residual=2)
    assert [block.residual for block in stage] == [False, True, True]
    assert stage(torch.rand(2, 3, 12, 12)).shape == (2, 8, 6, 6)
