"""The published networks, described a second time with the published names, must compute what ours do."""

from __future__ import annotations

import copy

import pytest
import torch

from models.discriminator import QualityDiscriminator
from models.generator import Generator, GeneratorConfig
from models.released import adapt_released, released_network
from models.syncnet import SyncNet, SyncNetConfig
from tests.support.published_wav2lip import PublishedDiscriminator, PublishedGenerator, PublishedSyncNet, trained

WIDTH = 0.125


def plain_generator(width: float = WIDTH) -> Generator:
    return Generator(GeneratorConfig(width=width, use_lstm=False, use_cbam=False))


def plain_syncnet(width: float = WIDTH) -> SyncNet:
    return SyncNet(SyncNetConfig(width=width, embedding_dim=int(512 * width)))


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_the_generator_draws_what_the_published_one_draws(prefix: str) -> None:
    published, ours = trained(PublishedGenerator(WIDTH)), plain_generator().eval()
    state = {prefix + name: tensor for name, tensor in published.state_dict().items()}
    ours.load_state_dict(adapt_released({"state_dict": state, "global_step": 3}, ours))
    mel, faces = torch.randn(4, 1, 80, 16), torch.rand(4, 6, 96, 96)
    with torch.no_grad():
        expected, drawn = published(mel, faces), ours(mel[:, None], faces[:, None])[:, 0]
    assert expected.std() > 0.05 and (expected[0] - expected[1]).abs().mean() > 0.01
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-5)


def test_the_expert_embeds_as_the_published_one() -> None:
    published, ours = trained(PublishedSyncNet(WIDTH)), plain_syncnet().eval()
    ours.load_state_dict(adapt_released(published.state_dict(), ours))
    faces, mel = torch.rand(4, 15, 48, 96), torch.randn(4, 1, 80, 16)
    with torch.no_grad():
        expected_faces, expected_audio = published(faces, mel)
        torch.testing.assert_close(ours.embed_faces(faces), expected_faces, rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.embed_audio(mel), expected_audio, rtol=0, atol=1e-5)
    torch.testing.assert_close(expected_faces.norm(dim=1), torch.ones(4))
    assert (expected_audio[0] - expected_audio[1]).norm() > 0.01


def test_the_discriminators_logits_are_those_before_the_published_sigmoid() -> None:
    published, ours = trained(PublishedDiscriminator(WIDTH)), QualityDiscriminator(WIDTH)
    ours.load_state_dict(adapt_released(published.state_dict(), ours))
    lower = torch.rand(8, 3, 48, 96)
    with torch.no_grad():
        expected = published(lower)
        torch.testing.assert_close(ours(lower).sigmoid(), expected, rtol=0, atol=1e-5)
    assert expected.std() > 1e-3 and expected.min() > 0.01 and expected.max() < 0.99


def test_batch_counts_come_along() -> None:
    published = trained(PublishedGenerator(WIDTH)).state_dict()
    adapted = adapt_released(published, plain_generator())
    counts = adapted["audio_encoder.head.norm.num_batches_tracked"], adapted["output.0.norm.num_batches_tracked"]
    assert counts[0] == published["audio_encoder.12.conv_block.1.num_batches_tracked"]
    assert counts[1] == published["output_block.0.conv_block.1.num_batches_tracked"]


def test_at_width_1_shapes_agree_and_every_tensor_is_used_once() -> None:
    with torch.device("meta"):
        pairs = [
            (PublishedGenerator(1), plain_generator(1), 36_298_035),
            (PublishedSyncNet(1), plain_syncnet(1), 16_435_072),
            (PublishedDiscriminator(1), QualityDiscriminator(), 14_113_793),
        ]
    for published, ours, num_parameters in pairs:
        assert sum(parameter.numel() for parameter in published.parameters()) == num_parameters
        state = published.state_dict()
        with torch.device("meta"):
            known = released_network({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}})
        assert type(known) is type(ours)
        assert {name: tensor.shape for name, tensor in known.state_dict().items()} == {
            name: tensor.shape for name, tensor in ours.state_dict().items()
        }
        adapted = adapt_released(state, ours)
        assert adapted.keys() == ours.state_dict().keys()
        assert {id(tensor) for tensor in adapted.values()} == {id(tensor) for tensor in state.values()}


def test_what_does_not_fit_is_named() -> None:
    ours = plain_generator()
    state = PublishedGenerator(WIDTH).state_dict()
    lacking = copy.copy(state)
    del lacking["output_block.1.bias"]
    with pytest.raises(ValueError, match=r"of this Generator: missing: output_block\.1\.bias$"):
        adapt_released(lacking, ours)
    with pytest.raises(ValueError, match=r"of this Generator: unexpected: temperature$"):
        adapt_released({**state, "module.temperature": torch.ones(())}, ours)
    with pytest.raises(ValueError, match=r"another shape: output_block\.1\.bias is \(4,\), expected \(3,\)$"):
        adapt_released({**state, "output_block.1.bias": torch.ones(4)}, ours)
    with pytest.raises(ValueError, match=r"missing: face_encoder_blocks.* and \d+ more; unexpected: face_encoder\.0"):
        adapt_released(PublishedSyncNet(WIDTH).state_dict(), ours)


@pytest.mark.parametrize(
    ("released", "message"),
    [
        ({"netcnnaud.0.weight": torch.ones(1)}, r"\(netcnnaud\.0\.weight\) are those of none of Wav2Lip's networks"),
        ({}, r"\(none\) are those of none"),
        ({"state_dict": None}, "its state_dict is NoneType"),
        ({"face_encoder": torch.ones(1), "global_step": 3}, "holds int under 'global_step'"),
        ({3: torch.ones(1)}, "holds Tensor under 3"),
    ],
)
def test_what_is_no_network_of_wav2lips_is_named(released: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        released_network(released)


def test_networks_that_wav2lip_does_not_have_are_refused() -> None:
    state = PublishedGenerator(WIDTH).state_dict()
    for use_lstm, use_cbam in ((True, False), (False, True)):
        net = Generator(GeneratorConfig(width=WIDTH, use_lstm=use_lstm, use_cbam=use_cbam, lstm_hidden=8))
        with pytest.raises(ValueError, match="use_lstm"):
            adapt_released(state, net)
    long = Generator(GeneratorConfig(width=WIDTH, use_lstm=False, use_cbam=False, mel_steps=27))
    with pytest.raises(ValueError, match="mel_steps=16"):
        adapt_released(state, long)
    with pytest.raises(ValueError, match="linear_heads"):
        adapt_released(PublishedSyncNet(WIDTH).state_dict(), SyncNet(SyncNetConfig(width=WIDTH, linear_heads=True)))
