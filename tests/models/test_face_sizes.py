"""Generators for faces of 96, 128 and 192 pixels, and the reduction of their faces to 96."""

from __future__ import annotations

from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch

from models.baselines.lipgan import LipGANConfig, LipGANGenerator
from models.baselines.speech2vid import Speech2Vid, Speech2VidConfig
from models.choices import FacePx
from models.discriminator import QualityDiscriminator
from models.face_sizes import map_sizes, resize_by_area
from models.generator import Generator, GeneratorConfig

SIZES = get_args(FacePx)
BUILDERS: dict[str, tuple[Any, Any, dict[str, Any], tuple[int, int], int]] = {
    "wav2lip": (Generator, GeneratorConfig, {"lstm_hidden": 8, "cbam_in": "both"}, (80, 16), 6),
    "lipgan": (LipGANGenerator, LipGANConfig, {}, (80, 27), 6),
    "speech2vid": (Speech2Vid, Speech2VidConfig, {}, (12, 35), 15),
}
"""Network, config, its settings, and the sizes of its inputs: audio window and channels of the faces."""


def num_parameters(network: Any, **config: Any) -> int:
    build, configure = BUILDERS[network][:2]
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(configure(**config)).parameters())


def test_maps_are_halved_down_to_3_or_4() -> None:
    assert map_sizes(96) == [96, 48, 24, 12, 6, 3, 1]
    assert map_sizes(128) == [128, 64, 32, 16, 8, 4, 1]
    assert map_sizes(192) == [192, 96, 48, 24, 12, 6, 3, 1]


def test_parameters_of_wav2lips_network_at_width_1() -> None:
    plain = {size: num_parameters("wav2lip", use_lstm=False, use_cbam=False, face_px=size) for size in SIZES}
    whole = {size: num_parameters("wav2lip", face_px=size) for size in SIZES}
    kernels = (512 * 512 + 1024 * 512) * (4 * 4 - 3 * 3)  # the layers from 4x4 to 1x1 and back
    block = 512 * 512 * 9 + 3 * 512
    stages = 2 * block + (block + 512 * 512 * 9 + 2 * block)  # one more stage of the encoder, and of the decoder
    assert plain == {96: 36_298_035, 128: 36_298_035 + kernels, 192: 36_298_035 + stages}
    assert plain == {96: 36_298_035, 128: 41_803_059, 192: 50_461_491}
    cbam = 33_312 + 100  # the channel gate of 512 channels and a spatial gate
    assert whole == {96: 36_722_007, 128: 36_722_007 + kernels, 192: 36_722_007 + stages + cbam}
    assert whole == {96: 36_722_007, 128: 42_227_031, 192: 50_918_875}


def test_parameters_of_the_baselines_at_width_1() -> None:
    lipgan = {size: num_parameters("lipgan", face_px=size) for size in SIZES}
    block, pairs = 512 * 512 * 9 + 3 * 512, 2 * 2 * (512 * 512 * 9 + 3 * 512)
    kernels = (1024 * 512 + 512 * 512) * (4 * 4 - 3 * 3)  # the first layer of the decoder and the head
    stages = block + (1024 * 512 * 9 + 3 * 512 + pairs)
    assert lipgan == {96: 69_234_835, 128: 69_234_835 + kernels, 192: 69_234_835 + stages}
    speech2vid = {size: num_parameters("speech2vid", face_px=size) for size in SIZES}
    per_place = 512 * 512 + (2 * 256 + 1) * 2  # the projection of the identity, and of both to the joint maps
    assert speech2vid == {size: 38_327_115 + per_place * ((size // 16) ** 2 - 36) for size in SIZES}


@pytest.mark.parametrize("network", BUILDERS)
@pytest.mark.parametrize("size", SIZES)
def test_faces_of_each_size_go_in_and_come_out(network: str, size: FacePx) -> None:
    build, configure, settings, window, num_channels = BUILDERS[network]
    net = build(configure(width=0.03, face_px=size, **settings)).eval()
    with torch.no_grad():
        out = net(torch.randn(1, 2, 1, *window), torch.rand(1, 2, num_channels, size, size))
        with pytest.raises(ValueError, match=f"{size}.* got .*64"):
            net(torch.randn(1, 2, 1, *window), torch.rand(1, 2, num_channels, 64, 64))
    assert out.shape == (1, 2, 3, size, size)
    assert 0 <= out.min() < out.max() <= 1


@pytest.mark.parametrize("configure", [GeneratorConfig, LipGANConfig, Speech2VidConfig])
def test_another_size_is_refused(configure: Any) -> None:
    with pytest.raises(ValueError, match="face_px must be 96, 128, 192, got 100"):
        configure(face_px=100)


@pytest.mark.parametrize(("size", "num_logits"), [(96, 1), (128, 4), (192, 16)])
def test_the_quality_discriminator_scores_parts_of_larger_faces(size: int, num_logits: int) -> None:
    assert QualityDiscriminator(0.03)(torch.rand(2, 3, size // 2, size)).shape == (2 * num_logits,)


@pytest.mark.parametrize("size", [128, 192, 100])
def test_faces_are_reduced_as_by_opencv_and_pass_gradients(size: int) -> None:
    faces = torch.rand(2, 3, size, size, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = resize_by_area(faces, 96, 96)
    for face, small in zip(faces.detach(), reduced.detach(), strict=True):
        expected = cv2.resize(face.permute(1, 2, 0).numpy(), (96, 96), interpolation=cv2.INTER_AREA)
        np.testing.assert_allclose(small.permute(1, 2, 0).numpy(), expected, atol=1e-5)
    reduced.sum().backward()
    assert faces.grad is not None
    torch.testing.assert_close(faces.grad, torch.full_like(faces, (96 / size) ** 2))


def test_the_lower_half_is_reduced_as_the_whole_face_and_96_stays() -> None:
    faces = torch.rand(1, 3, 128, 128)
    lower = resize_by_area(faces[:, :, 64:], 48, 96)
    torch.testing.assert_close(lower, resize_by_area(faces, 96, 96)[:, :, 48:])
    same = torch.rand(1, 3, 96, 96)
    assert resize_by_area(same, 96, 96) is same
