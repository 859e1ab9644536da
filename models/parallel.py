"""Operations on a batch that is split over several processes; together they compute what one process would.

Each process of torch's default group holds an equal share of every batch, in the order of ranks. Losses are means, so
the mean of the processes' gradients is the gradient of the whole batch. Computations that need the whole batch use this
module. In a single process nothing is exchanged, and the functions return their input.
Legend: N rows of a share, W processes, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

T = TypeVar("T")

_is_alone = ContextVar("_is_alone", default=False)


def num_processes() -> int:
    """Number of processes that share each batch."""
    if _is_alone.get() or not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def rank() -> int:
    """Rank of this process, from 0."""
    return distributed.get_rank() if num_processes() > 1 else 0


def from_first(function: Callable[[], T]) -> T:
    """Call ``function`` in the first process only and return its result in all of them.

    During the call the first process counts as the only one.
    """
    if num_processes() == 1:
        return function()
    given: list[Any] = [None]
    if rank() == 0:
        token = _is_alone.set(True)
        try:
            given = [function()]
        finally:
            _is_alone.reset(token)
    distributed.broadcast_object_list(given, src=0)
    return given[0]


def gather_batch(share: torch.Tensor) -> torch.Tensor:
    """The whole batch from its shares: [N, ...] -> [W * N, ...], differentiable.

    The gradient of a share is the sum of its gradients in all processes. If every process computes a loss from the
    whole batch, that sum is W times the gradient of the loss, and its mean over processes is correct.
    """
    return share if num_processes() == 1 else _Gather.apply(share)


def dropout(share: torch.Tensor, dropped: float, *, is_training: bool) -> torch.Tensor:
    """This share [N, ...] of the dropout of the whole batch. The random states of the processes must be equal.

    ``dropped``: probability of zeroing an element, in [0, 1).
    """
    if num_processes() == 1 or not is_training:
        return functional.dropout(share, dropped, is_training)
    whole = share.new_ones(num_processes() * len(share), *share.shape[1:])
    return share * functional.dropout(whole, dropped).chunk(num_processes())[rank()]


def roll_batch(share: torch.Tensor) -> torch.Tensor:
    """This process's share [N, ...] of the whole batch, rolled by half the batch's length."""
    whole = gather_batch(share)
    return whole.roll(len(whole) // 2, dims=0).chunk(num_processes())[rank()]


def batch_mean(share: torch.Tensor) -> torch.Tensor:
    """Mean of a tensor over the whole batch, scalar; in several processes without gradient."""
    return mean_over_processes(share.mean())


@torch.no_grad()
def mean_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """Mean of a tensor over the processes, without gradient; the tensor itself in a single process."""
    if num_processes() == 1:
        return tensor
    total = tensor.clone()
    distributed.all_reduce(total)
    return total / num_processes()


def mean_scalars(own: Mapping[str, float]) -> dict[str, float]:
    """Mean of each scalar over the processes, under the same names."""
    device = "cuda" if num_processes() > 1 and distributed.get_backend() == "nccl" else "cpu"
    means = mean_over_processes(torch.tensor(list(own.values()), dtype=torch.float64, device=device))
    return dict(zip(own, means.tolist(), strict=True))


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in one exchange."""
    if num_processes() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    mean = mean_over_processes(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = mean.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def with_shared_statistics(network: nn.Module) -> nn.Module:
    """Make every BatchNorm of the network use statistics of the whole batch.

    Changes the network in place and returns it. The names of its weights do not change.
    """
    if num_processes() == 1:
        return network
    if distributed.get_backend() == "nccl":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, SharedBatchNorm.like(child))
    return network


class SharedBatchNorm(_BatchNorm):
    """BatchNorm over the shares of all processes, for CPUs; torch's SyncBatchNorm supports GPUs only."""

    @classmethod
    def like(cls, norm: _BatchNorm) -> SharedBatchNorm:
        """A layer that shares the tensors of weights and running statistics with ``norm``."""
        shared = cls(norm.num_features, norm.eps, norm.momentum)
        shared._parameters, shared._buffers, shared.training = norm._parameters, norm._buffers, norm.training
        return shared

    def forward(self, x_NC: torch.Tensor) -> torch.Tensor:
        """float [N, C, ...] -> the same shape and dtype."""
        if not self.training:
            return super().forward(x_NC)
        others = [dim for dim in range(x_NC.dim()) if dim != 1]
        var_C, mean_C = torch.var_mean(x_NC.float(), others, correction=0)
        mean_WC, var_WC = gather_batch(torch.stack((mean_C, var_C))[None]).unbind(dim=1)
        mean_C = mean_WC.mean(dim=0)
        var_C = (var_WC + (mean_WC - mean_C).square()).mean(dim=0)
        self._update_running_statistics(mean_C.detach(), var_C.detach(), len(mean_WC) * x_NC.numel() // len(mean_C))
        scale_C = self.weight * torch.rsqrt(var_C + self.eps)
        shift_C = self.bias - mean_C * scale_C
        shape = [-1 if dim == 1 else 1 for dim in range(x_NC.dim())]
        return (x_NC * scale_C.view(shape) + shift_C.view(shape)).to(x_NC.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean_C: torch.Tensor, var_C: torch.Tensor, num_values: int) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean_C, self.momentum)
        self.running_var.lerp_(var_C * num_values / (num_values - 1), self.momentum)

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Accept any number of dimensions, as torch's SyncBatchNorm does."""


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, share: torch.Tensor) -> torch.Tensor:
        share = share.contiguous()
        shares = [torch.empty_like(share) for _ in range(num_processes())]
        distributed.all_gather(shares, share)
        return torch.cat(shares)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total.chunk(num_processes())[rank()]
