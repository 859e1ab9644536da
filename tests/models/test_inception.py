"""The FID network: shape, size, and the folded batch normalisation."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models.inception import BATCH_NORM_EPS, ConvReLU, InceptionFeatures, folded_state


@pytest.fixture(scope="module")
def network() -> InceptionFeatures:
    torch.manual_seed(0)
    return InceptionFeatures().eval()


def script_state(network: InceptionFeatures) -> dict[str, torch.Tensor]:
    """Random tensors under the names of the published file."""
    state = {}
    for name, module in network.named_modules():
        if isinstance(module, ConvReLU):
            channels = module.out_channels
            state[f"net.{name}.weight"] = module.weight.detach()
            state[f"net.{name}.beta"] = torch.randn(channels)
            state[f"net.{name}.mean"] = torch.randn(channels)
            state[f"net.{name}.var"] = torch.rand(channels)
    return state


def test_an_image_becomes_2048_features(network: InceptionFeatures) -> None:
    with torch.inference_mode():
        features = network(torch.zeros(1, 3, 299, 299))
    assert features.shape == (1, 2048)
    assert features.dtype == torch.float32
    assert (features >= 0).all()  # means of rectified values


def test_it_has_the_94_convolutions_of_the_published_graph(network: InceptionFeatures) -> None:
    convolutions = [m for m in network.modules() if isinstance(m, ConvReLU)]
    assert len(convolutions) == 94
    assert sum(m.weight.numel() for m in convolutions) == 21_751_136


def test_folding_leaves_the_function_unchanged(network: InceptionFeatures) -> None:
    source = script_state(network)
    folded = folded_state(source)
    assert folded.keys() == network.state_dict().keys()
    name = "layers.mixed_4.tower_1.conv_4"
    conv = ConvReLU(128, 192, (1, 7), padding=(0, 3))
    conv.load_state_dict({part: folded[f"{name}.{part}"] for part in ("weight", "bias")})
    x = torch.randn(2, 128, 5, 9)
    weight, beta, mean, var = (source[f"net.{name}.{part}"] for part in ("weight", "beta", "mean", "var"))
    plain = F.conv2d(x, weight, padding=(0, 3))
    expected = F.relu(F.batch_norm(plain, mean, var, None, beta, eps=BATCH_NORM_EPS))
    assert torch.allclose(conv(x), expected, atol=1e-4, rtol=1e-4)


def test_another_files_state_is_refused(network: InceptionFeatures) -> None:
    state = script_state(network)
    del state["net.layers.conv.var"]
    with pytest.raises(ValueError, match=r"layers\.conv\.var"):
        folded_state(state)
