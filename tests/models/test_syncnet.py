from __future__ import annotations

import pytest
import torch

from models.blocks import ConvBlock
from models.losses import info_nce
from models.syncnet import SyncNet, SyncNetConfig


def small(linear_heads: bool) -> SyncNet:
    torch.manual_seed(0)
    return SyncNet(SyncNetConfig(width=0.125, embedding_dim=32, linear_heads=linear_heads))


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_at_width_1() -> None:
    with torch.device("meta"):
        net = SyncNet()
    assert num_parameters(net) == 16_435_072
    assert num_parameters(net.face_encoder) == 13_031_808
    assert num_parameters(net.audio_encoder) == 3_403_264


@pytest.mark.parametrize("linear_heads", [False, True])
def test_embeddings_have_unit_length(linear_heads: bool) -> None:
    net = small(linear_heads)
    faces, audio = (
        net.embed_faces(torch.rand(6, 15, 48, 96)),
        net.embed_audio(torch.randn(6, 1, 80, 16)),
    )
    for embedding in (faces, audio):
        assert embedding.shape == (6, 32) and embedding.dtype == torch.float32
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(6))


def test_range_of_cosines_follows_the_heads() -> None:
    faces, mel = torch.rand(16, 15, 48, 96), torch.randn(16, 1, 80, 16)
    relu, linear = small(False), small(True)
    assert (relu.min_cosine, linear.min_cosine) == (0.0, -1.0)
    assert (relu.embed_faces(faces) @ relu.embed_audio(mel).T).min() >= 0
    assert linear.embed_faces(faces).min() < 0 and linear.embed_audio(mel).min() < 0


def test_the_temperature_belongs_to_linear_heads_and_travels_with_the_weights() -> None:
    linear = SyncNet(SyncNetConfig(width=0.125, embedding_dim=32, linear_heads=True, temperature=0.2))
    assert linear.temperature.item() == pytest.approx(0.2)
    other = small(True)
    other.load_state_dict(linear.state_dict())
    assert other.temperature.item() == pytest.approx(0.2)
    assert small(False).temperature.item() == 1
    assert not any("temperature" in name for name in small(False).state_dict())
    with pytest.raises(ValueError, match="temperature"):
        SyncNetConfig(temperature=0.0)


def test_a_dead_embedding_is_zero_with_finite_gradient() -> None:
    net = small(False)
    head = net.face_encoder[-1]
    assert isinstance(head, ConvBlock)
    torch.nn.init.zeros_(head.norm.weight)
    torch.nn.init.constant_(head.norm.bias, -1.0)
    embedding = net.embed_faces(torch.rand(2, 15, 48, 96))
    assert (embedding == 0).all()
    embedding.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_linear_heads_centre_the_faces() -> None:
    """Mid-grey then equals the zero padding: in eval mode a grey image gives one flat first map."""
    net = small(True).eval()
    maps = net.face_encoder[0](torch.zeros(1, 15, 48, 96))
    seen = []
    net.face_encoder[0].register_forward_hook(lambda _m, _i, out: seen.append(out))
    net.embed_faces(torch.full((1, 15, 48, 96), 0.5))
    assert torch.equal(seen[0], maps)
    assert maps.std(dim=(2, 3)).max() < 1e-6


@pytest.mark.slow
def test_overfits_a_handful_of_windows() -> None:
    net = small(True)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(1)
    faces = torch.rand(8, 15, 48, 96, generator=generator)
    mel = torch.randn(8, 1, 80, 16, generator=generator)
    for _ in range(15):
        loss = info_nce(net.embed_faces(faces) @ net.embed_audio(mel).T, 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3  # chance is log 8 = 2.08


def test_bad_config_is_refused() -> None:
    with pytest.raises(ValueError, match="embedding_dim"):
        SyncNetConfig(embedding_dim=0)
    with pytest.raises(ValueError, match="width"):
        SyncNetConfig(width=-1)


def test_dropout_is_for_training_only() -> None:
    torch.manual_seed(0)
    net = SyncNet(SyncNetConfig(width=0.125, embedding_dim=16, linear_heads=True, dropout=0.5))
    lower, mel = torch.rand(4, 15, 48, 96), torch.randn(4, 1, 80, 16)
    for embed, x in ((net.embed_faces, lower), (net.embed_audio, mel)):
        assert not torch.equal(embed(x), embed(x))
    net.eval()
    for embed, x in ((net.embed_faces, lower), (net.embed_audio, mel)):
        assert torch.equal(embed(x), embed(x))
    with pytest.raises(ValueError, match="dropout"):
        SyncNetConfig(dropout=1.0)
