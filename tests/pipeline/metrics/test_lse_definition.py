"""LSE of real clips against a second implementation: MFCC, network and score written out in numpy.

The network has its full size and random weights; nothing is shared with the code under test but those weights and the
8-bit picture.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.lse_syncnet import LseSyncNet
from pipeline.features.samples import float_to_int16
from pipeline.metrics.lse import embed_clip, evaluator_frames, lse_scores
from tests.support.definitions import mfcc_by_the_book
from tests.support.media_readers import iter_frames, read_samples

NUM_FRAMES = 20
State = dict[str, np.ndarray]


def conv(x: np.ndarray, state: State, layer: str, stride: tuple[int, ...], padding: tuple[int, ...]) -> np.ndarray:
    """x [C, ...], weight [C', C, ...] -> [C', ...]; any number of axes."""
    weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
    x = np.pad(x, [(0, 0), *((p, p) for p in padding)])
    axes = tuple(range(1, x.ndim))
    patches = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=axes)
    patches = patches[(slice(None), *(slice(None, None, s) for s in stride))]
    kernel_axes = tuple(range(-len(axes), 0))
    y = np.tensordot(weight, patches, axes=((1, *(2 + i for i in range(len(axes)))), (0, *kernel_axes)))
    return y + bias.reshape(-1, *[1] * len(axes))


def norm_relu(x: np.ndarray, state: State, layer: str) -> np.ndarray:
    shape = (-1, *[1] * (x.ndim - 1))
    mean, var = state[f"{layer}.running_mean"].reshape(shape), state[f"{layer}.running_var"].reshape(shape)
    gain, shift = state[f"{layer}.weight"].reshape(shape), state[f"{layer}.bias"].reshape(shape)
    return np.maximum((x - mean) / np.sqrt(var + 1e-5) * gain + shift, 0)


def pool(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...]) -> np.ndarray:
    x = np.pad(x, [(0, 0), *((p, p) for p in padding)], constant_values=-np.inf)
    axes = tuple(range(1, x.ndim))
    patches = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=axes)
    patches = patches[(slice(None), *(slice(None, None, s) for s in stride))]
    return patches.max(axis=tuple(range(-len(axes), 0)))


def project(x: np.ndarray, state: State, part: str) -> np.ndarray:
    hidden = state[f"{part}.0.weight"] @ x + state[f"{part}.0.bias"]
    hidden = norm_relu(hidden, state, f"{part}.1")
    return state[f"{part}.3.weight"] @ hidden + state[f"{part}.3.bias"]


def embed_lips(window: np.ndarray, state: State) -> np.ndarray:
    """[3, 5, 224, 224] -> [1024], the layers of syncnet_python as 3-D convolutions."""
    x, part = window, "netcnnlip"
    x = norm_relu(conv(x, state, f"{part}.0", (1, 2, 2), (0, 0, 0)), state, f"{part}.1")
    x = pool(x, (1, 3, 3), (1, 2, 2), (0, 0, 0))
    x = norm_relu(conv(x, state, f"{part}.4", (1, 2, 2), (0, 1, 1)), state, f"{part}.5")
    x = pool(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for layer in (8, 11, 14):
        x = norm_relu(conv(x, state, f"{part}.{layer}", (1, 1, 1), (0, 1, 1)), state, f"{part}.{layer + 1}")
    x = pool(x, (1, 3, 3), (1, 2, 2), (0, 0, 0))
    x = norm_relu(conv(x, state, f"{part}.18", (1, 1, 1), (0, 0, 0)), state, f"{part}.19")
    return project(x.reshape(-1), state, "netfclip")


def embed_audio(window: np.ndarray, state: State) -> np.ndarray:
    """[1, 13, 20] -> [1024]."""
    x, part = window, "netcnnaud"
    x = norm_relu(conv(x, state, f"{part}.0", (1, 1), (1, 1)), state, f"{part}.1")
    x = norm_relu(conv(x, state, f"{part}.4", (1, 1), (1, 1)), state, f"{part}.5")
    x = pool(x, (3, 3), (1, 2), (0, 0))
    for layer in (8, 11, 14):
        x = norm_relu(conv(x, state, f"{part}.{layer}", (1, 1), (1, 1)), state, f"{part}.{layer + 1}")
    x = pool(x, (3, 3), (2, 2), (0, 0))
    x = norm_relu(conv(x, state, f"{part}.18", (1, 1), (0, 0)), state, f"{part}.19")
    return project(x.reshape(-1), state, "netfcaud")


@pytest.fixture(scope="module")
def network() -> LseSyncNet:
    """Full size, weights that keep signals alive through all layers, statistics that are not BatchNorm's start."""
    torch.manual_seed(7)
    net = LseSyncNet(1.0)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
            torch.nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.5)
            module.running_var.uniform_(0.5, 2.0)
    return net.eval().requires_grad_(False)


@pytest.fixture(params=["grid/s1/lwwm2p.mp4", "wild/hq_bbaf2a.mpg"])
def real_clip(request: pytest.FixtureRequest, shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """The first frames of a real clip, uncropped, and their sound."""
    path = shared_data / request.param
    frames = [frame.image for frame in itertools.islice(iter_frames(path, 25), NUM_FRAMES)]
    return np.stack(frames), float_to_int16(read_samples(path))[: NUM_FRAMES * 640]


@pytest.mark.slow
def test_scores_of_real_clips_equal_those_written_out(
    network: LseSyncNet, real_clip: tuple[np.ndarray, np.ndarray]
) -> None:
    frames, samples = real_clip
    state = {name: tensor.numpy().astype(np.float64) for name, tensor in network.state_dict().items()}
    scale = 10.0 / 1e4  # embeddings of this network are large: brought to the distances of a trained one
    pictures = evaluator_frames(frames, torch.device("cpu")).numpy().astype(np.float64)
    coefficients = mfcc_by_the_book(samples)
    num, dim, vshift = NUM_FRAMES - 5, 1024, 15
    lip = np.stack([embed_lips(pictures[:, v : v + 5], state) for v in range(num)]) * scale
    sound = np.stack([embed_audio(coefficients[4 * v : 4 * v + 20].T[None], state) for v in range(num)]) * scale

    padded = np.concatenate([np.zeros((vshift, dim)), sound, np.zeros((vshift, dim))])
    means = [
        np.mean([math.sqrt(((lip[v] - padded[v + k] + 1e-6) ** 2).sum()) for v in range(num)])
        for k in range(2 * vshift + 1)
    ]
    score = lse_scores(*(scale * part for part in embed_clip(network, frames, samples, torch.device("cpu"))))
    assert 1 < score.lse_d < 100
    assert score.lse_d == pytest.approx(min(means), abs=1e-3)
    assert score.lse_c == pytest.approx(sorted(means)[vshift] - min(means), abs=1e-3)
    assert score.offset_frames == vshift - int(np.argmin(means))
    assert score.num_windows == num
