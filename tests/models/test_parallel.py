"""In one process nothing is exchanged; what several exchange is tested with the trainings."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.parallel import SharedBatchNorm, gather_batch, mean_scalars, roll_batch, with_shared_statistics


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5, 7)], ids=["1d", "2d"])
def test_a_shared_batch_norm_is_a_batch_norm(shape: tuple[int, ...]) -> None:
    norm = nn.BatchNorm2d(3) if len(shape) == 4 else nn.BatchNorm1d(3)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    reference = type(norm)(3)
    reference.load_state_dict(norm.state_dict())
    shared = SharedBatchNorm.like(norm)
    assert shared.weight is norm.weight
    for _ in range(3):
        x, upstream = torch.randn(shape) * 3 + 1, torch.randn(shape)
        own, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        for module, inputs in ((shared, own), (reference, other)):
            module.zero_grad()
            (module(inputs) * upstream).sum().backward()
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(shared.weight.grad, reference.weight.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(shared.bias.grad, reference.bias.grad)
    for name, tensor in reference.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], tensor)
    x = torch.randn(shape)
    torch.testing.assert_close(shared.eval()(x), reference.eval()(x))


def test_one_process_has_the_whole_batch() -> None:
    rows = torch.arange(6.0)[:, None]
    assert gather_batch(rows) is rows
    assert roll_batch(rows).flatten().tolist() == [3, 4, 5, 0, 1, 2]
    assert mean_scalars({"a": 0.1, "b": 2.0}) == {"a": 0.1, "b": 2.0}
    network = nn.Sequential(nn.BatchNorm2d(2))
    assert type(with_shared_statistics(network)[0]) is nn.BatchNorm2d
