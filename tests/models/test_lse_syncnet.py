from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from models.lse_syncnet import LseSyncNet, WindowConv


def small() -> LseSyncNet:
    torch.manual_seed(0)
    return LseSyncNet(0.125).eval()


def lips(num_frames: int, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, 3, num_frames, 224, 224)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_parameter_count_and_published_names_at_width_1() -> None:
    state = LseSyncNet(1.0).state_dict()
    num_buffers = sum(v.numel() for k, v in state.items() if "running" in k or "num_b" in k)
    assert sum(value.numel() for value in state.values()) - num_buffers == 13_631_616
    shapes = {key: tuple(value.shape) for key, value in state.items() if key.endswith(".weight") and value.dim() > 1}
    assert shapes == {
        "netcnnaud.0.weight": (64, 1, 3, 3),
        "netcnnaud.4.weight": (192, 64, 3, 3),
        "netcnnaud.8.weight": (384, 192, 3, 3),
        "netcnnaud.11.weight": (256, 384, 3, 3),
        "netcnnaud.14.weight": (256, 256, 3, 3),
        "netcnnaud.18.weight": (512, 256, 5, 4),
        "netfcaud.0.weight": (512, 512),
        "netfcaud.3.weight": (1024, 512),
        "netfclip.0.weight": (512, 512),
        "netfclip.3.weight": (1024, 512),
        "netcnnlip.0.weight": (96, 3, 5, 7, 7),
        "netcnnlip.4.weight": (256, 96, 1, 5, 5),
        "netcnnlip.8.weight": (256, 256, 1, 3, 3),
        "netcnnlip.11.weight": (256, 256, 1, 3, 3),
        "netcnnlip.14.weight": (256, 256, 1, 3, 3),
        "netcnnlip.18.weight": (512, 256, 1, 6, 6),
    }
    norms = {key.rsplit(".", 1)[0] for key in state if key.endswith("running_mean")}
    assert norms == {
        *(f"netcnnaud.{i}" for i in (1, 5, 9, 12, 15, 19)),
        *(f"netcnnlip.{i}" for i in (1, 5, 9, 12, 15, 19)),
        "netfcaud.1",
        "netfclip.1",
    }


def test_window_conv_equals_conv3d() -> None:
    conv = WindowConv(3, 8, 7, 2, num_frames=5)
    weight = conv.state_dict()["weight"]
    x = torch.randn(2, 3, 5, 20, 20)
    expected = F.conv3d(x, weight, conv.bias, stride=(1, 2, 2)).squeeze(2)
    frame_by_frame = x.transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(conv(frame_by_frame), expected, rtol=1e-4, atol=1e-5)


def test_state_dict_round_trip_with_5d_weights_and_without_counters() -> None:
    """Old checkpoints lack BatchNorm's num_batches_tracked and may arrive as plain dicts."""
    net = small()
    state = {k: v.clone() for k, v in net.state_dict().items() if "num_batches" not in k}
    assert state["netcnnlip.0.weight"].dim() == 5
    other = LseSyncNet(0.125).eval()
    other.load_state_dict(state)
    assert state["netcnnlip.0.weight"].dim() == 5
    frames = lips(5)
    assert torch.equal(other.embed_lips(frames), net.embed_lips(frames))
    assert torch.equal(copy.deepcopy(net).embed_lips(frames), net.embed_lips(frames))


def test_windows_of_a_clip_equal_windows_on_their_own() -> None:
    net, frames = small(), lips(8, batch=2)
    with torch.no_grad():
        clip = net.embed_lips(frames)
        assert clip.shape == (2, 4, 1024) and clip.dtype == torch.float32
        for start in range(4):
            alone = net.embed_lips(frames[:, :, start : start + 5])[:, 0]
            torch.testing.assert_close(alone, clip[:, start], rtol=1e-4, atol=1e-4)
    assert (clip[:, 0] - clip[:, 1]).abs().max() > 1e-3


def test_bytes_and_floats_and_layouts_agree() -> None:
    net, frames = small(), lips(6)
    with torch.no_grad():
        expected = net.embed_lips(frames)
        assert torch.equal(net.embed_lips(frames.float()), expected)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        torch.testing.assert_close(net.embed_lips(frames), expected, rtol=1e-4, atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            out = net.embed_lips(frames)
    assert out.dtype == torch.float32
    assert (out - expected).abs().mean() < 0.05 * expected.std()


def test_audio_embedding() -> None:
    embedding = small().embed_audio(torch.randn(4, 1, 13, 20))
    assert embedding.shape == (4, 1024) and embedding.dtype == torch.float32
    # Not normalised.
    assert embedding.norm(dim=1).std() > 0


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 frames, got 4"):
        small().embed_lips(lips(4))
