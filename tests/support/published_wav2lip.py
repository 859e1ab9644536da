"""A second implementation of Wav2Lip's networks with the published names, as a reference for tests."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

NUM_INPUTS = {1, 3, 6, 15}


class Block(nn.Module):
    """Convolution, BatchNorm, optional residual connection and ReLU; without norm, convolution and LeakyReLU."""

    def __init__(self, conv: nn.Module, out: int, *, residual: bool = False, norm: bool = True) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(conv, nn.BatchNorm2d(out)) if norm else nn.Sequential(conv)
        self.residual = residual
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv_block(x)
        if not self.norm:
            return F.leaky_relu(y, 0.01)
        return F.relu(y + x if self.residual else y)


class Layers:
    """Constructors of the published layers for one width."""

    def __init__(self, width: float) -> None:
        self.width = width

    def scaled(self, channels: int) -> int:
        if self.width == 1 or channels in NUM_INPUTS:
            return channels
        return max(8, int(channels * self.width))

    def conv(self, inputs: int, out: int, kernel: int, stride=1, padding: int = 0, *, norm: bool = True) -> Block:
        inputs, out = self.scaled(inputs), self.scaled(out)
        return Block(nn.Conv2d(inputs, out, kernel, stride, padding), out, norm=norm)

    def residual(self, channels: int, count: int) -> list[Block]:
        c = self.scaled(channels)
        return [Block(nn.Conv2d(c, c, 3, 1, 1), c, residual=True) for _ in range(count)]

    def up(self, inputs: tuple[int, int], out: int, count: int) -> nn.Sequential:
        """A decoder stage that doubles the resolution. Its input is the previous output and a skip connection."""
        c = self.scaled(out)
        conv = nn.ConvTranspose2d(sum(map(self.scaled, inputs)), c, 3, 2, 1, 1)
        return nn.Sequential(Block(conv, c), *self.residual(out, count))

    def audio_encoder(self, last_residual: int) -> nn.Sequential:
        return nn.Sequential(
            self.conv(1, 32, 3, 1, 1),
            *self.residual(32, 2),
            self.conv(32, 64, 3, (3, 1), 1),
            *self.residual(64, 2),
            self.conv(64, 128, 3, 3, 1),
            *self.residual(128, 2),
            self.conv(128, 256, 3, (3, 2), 1),
            *self.residual(256, last_residual),
            self.conv(256, 512, 3),
            self.conv(512, 512, 1),
        )


class PublishedGenerator(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        net = Layers(width)
        stages = [nn.Sequential(net.conv(6, 16, 7, 1, 3))]
        channels = (16, 32, 64, 128, 256, 512)
        for inputs, out, count in zip(channels, channels[1:], (2, 3, 2, 2, 1), strict=False):
            stages.append(nn.Sequential(net.conv(inputs, out, 3, 2, 1), *net.residual(out, count)))
        stages.append(nn.Sequential(net.conv(512, 512, 3), net.conv(512, 512, 1)))
        self.face_encoder_blocks = nn.ModuleList(stages)
        self.audio_encoder = net.audio_encoder(1)
        c512 = net.scaled(512)
        first_up = Block(nn.ConvTranspose2d(2 * c512, c512, 3), c512)
        self.face_decoder_blocks = nn.ModuleList(
            [
                nn.Sequential(net.conv(512, 512, 1)),
                nn.Sequential(first_up, *net.residual(512, 1)),
                net.up((512, 512), 512, 2),
                net.up((512, 256), 384, 2),
                net.up((384, 128), 256, 2),
                net.up((256, 64), 128, 2),
                net.up((128, 32), 64, 2),
            ]
        )
        c32 = net.scaled(32)
        self.output_block = nn.Sequential(
            Block(nn.Conv2d(net.scaled(64) + net.scaled(16), c32, 3, 1, 1), c32), nn.Conv2d(c32, 3, 1), nn.Sigmoid()
        )

    def forward(self, mel: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        features = []
        for stage in self.face_encoder_blocks:
            faces = stage(faces)
            features.append(faces)
        x = self.audio_encoder(mel)
        for stage, feature in zip(self.face_decoder_blocks, reversed(features), strict=True):
            x = torch.cat((stage(x), feature), 1)
        return self.output_block(x)


class PublishedSyncNet(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        net = Layers(width)
        self.face_encoder = nn.Sequential(
            net.conv(15, 32, 7, 1, 3),
            net.conv(32, 64, 5, (1, 2), 1),
            *net.residual(64, 2),
            net.conv(64, 128, 3, 2, 1),
            *net.residual(128, 3),
            net.conv(128, 256, 3, 2, 1),
            *net.residual(256, 2),
            net.conv(256, 512, 3, 2, 1),
            *net.residual(512, 2),
            net.conv(512, 512, 3, 2, 1),
            net.conv(512, 512, 3),
            net.conv(512, 512, 1),
        )
        self.audio_encoder = net.audio_encoder(2)

    def forward(self, faces: torch.Tensor, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        face, audio = self.face_encoder(faces).flatten(1), self.audio_encoder(mel).flatten(1)
        return F.normalize(face), F.normalize(audio)


class PublishedDiscriminator(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        net = Layers(width)
        self.face_encoder_blocks = nn.ModuleList([nn.Sequential(net.conv(3, 32, 7, 1, 3, norm=False))])
        table = [(32, 64, 5, (1, 2), 2), (64, 128, 5, 2, 2), (128, 256, 5, 2, 2), (256, 512, 3, 2, 1)]
        for inputs, out, kernel, stride, padding in [*table, (512, 512, 3, 2, 1)]:
            down = net.conv(inputs, out, kernel, stride, padding, norm=False)
            same = net.conv(out, out, kernel, 1, padding, norm=False)
            self.face_encoder_blocks.append(nn.Sequential(down, same))
        last = net.conv(512, 512, 3, norm=False), net.conv(512, 512, 1, norm=False)
        self.face_encoder_blocks.append(nn.Sequential(*last))
        self.binary_pred = nn.Sequential(nn.Conv2d(net.scaled(512), 1, 1), nn.Sigmoid())

    def forward(self, lower: torch.Tensor) -> torch.Tensor:
        for stage in self.face_encoder_blocks:
            lower = stage(lower)
        return self.binary_pred(lower).flatten()


def trained(network: nn.Module) -> nn.Module:
    """Set every tensor of the state dict to random values that keep activations in a normal range."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            fan_in = module.weight[0].numel() if isinstance(module, nn.Conv2d) else module.weight[:, 0].numel()
            nn.init.normal_(module.weight, std=(2 / fan_in) ** 0.5)
            assert module.bias is not None
            nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.2)
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 1.0, 3.0)
            assert module.num_batches_tracked is not None
            module.num_batches_tracked.fill_(int(torch.randint(1, 1000, ())))
    return network.eval()
