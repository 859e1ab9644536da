"""Inception v3 as published for FID in December 2015, up to its 2048 pooled features.

The graph is that of the TensorFlow file ``classify_image_graph_def.pb`` (Szegedy et al. 2016; Heusel et al. 2017).
It differs from torchvision's Inception: average pooling excludes the padding from the mean, and the last block uses
max pooling. In the published graph a batch normalisation without gain follows every convolution. Here each pair is
folded into one convolution with bias. The function is the same, and the memory format is free (channels_last is fast
on CPUs).

N images, C channels, H W pixels. Module names are those of the TorchScript file that holds the weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NUM_FEATURES = 2048
INCEPTION_INPUT_PX = 299
BATCH_NORM_EPS = 1e-3


class ConvReLU(nn.Conv2d):
    """Convolution with the batch normalisation folded in, then ReLU."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """float [N, in_channels, H, W] -> float [N, out_channels, H', W'], from 0. Stride and padding set H' and W'."""
        return F.relu(super().forward(x_NCHW), inplace=True)


def _chain(
    *convs: tuple[int, int, int | tuple[int, int], int, int | tuple[int, int]],
) -> nn.Sequential:
    """A sequence named ``conv``, ``conv_1``, ...; each argument is (in, out, kernel, stride, padding)."""
    named: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (num_in, num_out, kernel, stride, padding) in enumerate(convs):
        named[f"conv_{i}" if i else "conv"] = ConvReLU(num_in, num_out, kernel, stride, padding)
    return nn.Sequential(named)


def _pooled(num_in: int, num_out: int) -> nn.Sequential:
    pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return nn.Sequential(OrderedDict(pool=pool, conv=ConvReLU(num_in, num_out, 1)))


class BranchesBlock(nn.Module):
    """Parallel branches on one input, concatenated over channels in the order of the arguments."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        self.branch_names = tuple(branches)
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """float [N, C, H, W] -> float [N, sum of the branches' channels, H', W']. All branches give the same H', W'."""
        return torch.cat([self.get_submodule(name)(x_NCHW) for name in self.branch_names], dim=1)


class ForkedBlock(nn.Module):
    """One of the two 8x8 blocks. Its 3x3 branches split into 1x3 and 3x1. ``pool`` is the last branch's pooling."""

    def __init__(self, num_in: int, pool: nn.Module) -> None:
        super().__init__()
        self.conv = ConvReLU(num_in, 320, 1)
        self.tower_conv = ConvReLU(num_in, 384, 1)
        self.tower_mixed_conv = ConvReLU(384, 384, (1, 3), padding=(0, 1))
        self.tower_mixed_conv_1 = ConvReLU(384, 384, (3, 1), padding=(1, 0))
        self.tower_1_conv = ConvReLU(num_in, 448, 1)
        self.tower_1_conv_1 = ConvReLU(448, 384, 3, padding=1)
        self.tower_1_mixed_conv = ConvReLU(384, 384, (1, 3), padding=(0, 1))
        self.tower_1_mixed_conv_1 = ConvReLU(384, 384, (3, 1), padding=(1, 0))
        self.tower_2_pool = pool
        self.tower_2_conv = ConvReLU(num_in, 192, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """float [N, num_in, 8, 8] -> float [N, 2048, 8, 8]."""
        a = self.tower_conv(x_NCHW)
        b = self.tower_1_conv_1(self.tower_1_conv(x_NCHW))
        return torch.cat(
            [
                self.conv(x_NCHW),
                self.tower_mixed_conv(a),
                self.tower_mixed_conv_1(a),
                self.tower_1_mixed_conv(b),
                self.tower_1_mixed_conv_1(b),
                self.tower_2_conv(self.tower_2_pool(x_NCHW)),
            ],
            dim=1,
        )


def _block_35(num_in: int, num_pooled: int) -> BranchesBlock:
    return BranchesBlock(
        conv=ConvReLU(num_in, 64, 1),
        tower=_chain((num_in, 48, 1, 1, 0), (48, 64, 5, 1, 2)),
        tower_1=_chain((num_in, 64, 1, 1, 0), (64, 96, 3, 1, 1), (96, 96, 3, 1, 1)),
        tower_2=_pooled(num_in, num_pooled),
    )


def _block_17(width: int) -> BranchesBlock:
    row, column = (1, 7), (7, 1)
    along, across = (0, 3), (3, 0)
    return BranchesBlock(
        conv=ConvReLU(768, 192, 1),
        tower=_chain((768, width, 1, 1, 0), (width, width, row, 1, along), (width, 192, column, 1, across)),
        tower_1=_chain(
            (768, width, 1, 1, 0),
            (width, width, column, 1, across),
            (width, width, row, 1, along),
            (width, width, column, 1, across),
            (width, 192, row, 1, along),
        ),
        tower_2=_pooled(768, 192),
    )


def _reduce_35_to_17() -> BranchesBlock:
    return BranchesBlock(
        conv=ConvReLU(288, 384, 3, stride=2),
        tower=_chain((288, 64, 1, 1, 0), (64, 96, 3, 1, 1), (96, 96, 3, 2, 0)),
        pool=nn.MaxPool2d(3, stride=2),
    )


def _reduce_17_to_8() -> BranchesBlock:
    return BranchesBlock(
        tower=_chain((768, 192, 1, 1, 0), (192, 320, 3, 2, 0)),
        tower_1=_chain(
            (768, 192, 1, 1, 0),
            (192, 192, (1, 7), 1, (0, 3)),
            (192, 192, (7, 1), 1, (3, 0)),
            (192, 192, 3, 2, 0),
        ),
        pool=nn.MaxPool2d(3, stride=2),
    )


class InceptionFeatures(nn.Module):
    """Pooled features of the FID Inception network.

    ``images_NCHW``: float32 [N, 3, 299, 299], RGB, pixel values scaled ``(x - 128) / 128`` -> float32 [N, 2048].
    """

    def __init__(self) -> None:
        super().__init__()
        average = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.layers = nn.Sequential(
            OrderedDict(
                conv=ConvReLU(3, 32, 3, stride=2),
                conv_1=ConvReLU(32, 32, 3),
                conv_2=ConvReLU(32, 64, 3, padding=1),
                pool0=nn.MaxPool2d(3, stride=2),
                conv_3=ConvReLU(64, 80, 1),
                conv_4=ConvReLU(80, 192, 3),
                pool1=nn.MaxPool2d(3, stride=2),
                mixed=_block_35(192, 32),
                mixed_1=_block_35(256, 64),
                mixed_2=_block_35(288, 64),
                mixed_3=_reduce_35_to_17(),
                mixed_4=_block_17(128),
                mixed_5=_block_17(160),
                mixed_6=_block_17(160),
                mixed_7=_block_17(192),
                mixed_8=_reduce_17_to_8(),
                mixed_9=ForkedBlock(1280, average),
                mixed_10=ForkedBlock(2048, nn.MaxPool2d(3, stride=1, padding=1)),
                pool2=nn.AvgPool2d(8),
            )
        )

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, 3, 299, 299], scaled as in the class's docstring -> float32 [N, 2048]."""
        return self.layers(images_NCHW).flatten(1)


def folded_state(script_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of ``InceptionFeatures`` from that of the TorchScript file (weight, beta, mean, var per convolution).

    Raises ValueError if the mapping lacks one of these tensors.
    """
    state: dict[str, Tensor] = {}
    for name, weight in script_state.items():
        prefix, _, leaf = name.removeprefix("net.").rpartition(".")
        if leaf != "weight":
            continue
        try:
            beta, mean, var = (script_state[f"net.{prefix}.{part}"] for part in ("beta", "mean", "var"))
        except KeyError as error:
            raise ValueError(f"not the FID Inception file: it has {name} but lacks {error}") from error
        gain = torch.rsqrt(var.double() + BATCH_NORM_EPS)
        state[f"{prefix}.weight"] = (weight.double() * gain[:, None, None, None]).float()
        state[f"{prefix}.bias"] = (beta.double() - mean.double() * gain).float()
    return state
