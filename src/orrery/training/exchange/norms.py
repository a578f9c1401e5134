"""Batch norms over the rows of all workers, so that n workers compute what one would.

Only while training: the layer itself, its weights and its running statistics stay as they are.

Legend: n rows, C channels.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from orrery.training.exchange.group import ring_bytes
from orrery.training.exchange.traffic import Traffic


def share_norms(module: nn.Module, traffic: Traffic) -> bool:
    """Let all batch norms of a module see every worker's rows; whether there are any."""
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        return False
    group = dist.new_group()  # of their own: gradients travel at the same time
    for layer in layers:
        layer.forward = functools.partial(_forward, layer, group, traffic)  # type: ignore[method-assign]
    return True


def unshare_norms(module: nn.Module) -> None:
    """The layers as they were."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.__dict__.pop("forward", None)


class _Sum(torch.autograd.Function):
    """The sum over all workers; so is its gradient."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, group: Any, traffic: Traffic) -> Tensor:
        context.group, context.traffic = group, traffic
        return _summed(tensor.clone(), group, traffic)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _summed(gradient.clone(), context.group, context.traffic), None, None


def _summed(tensor: Tensor, group: Any, traffic: Traffic) -> Tensor:
    traffic.sent_bytes += ring_bytes(tensor)
    dist.all_reduce(tensor, group=group)
    return tensor


def _forward(layer: _BatchNorm, group: Any, traffic: Traffic, x: Tensor) -> Tensor:
    if not layer.training:
        alone: Tensor = type(layer).forward(layer, x)
        return alone
    axes = [axis for axis in range(x.ndim) if axis != 1]
    count = x.numel() // x.shape[1]
    # Moments about this worker's own mean are exact; they are put together in double precision.
    sums = x.sum(axes).double()
    mean = sums / max(count, 1)
    spread = x - mean.to(x).reshape(_shape(x))
    squares = (spread * spread).sum(axes).double() + sums * mean
    own = torch.cat([sums, squares, sums.new_tensor([count])])
    total = _Sum.apply(own, group, traffic)
    rows = total[-1].detach()
    mean = total[: x.shape[1]] / rows
    variance = total[x.shape[1] : -1] / rows - mean * mean
    _remember(layer, mean.detach(), variance.detach(), rows)
    scale = torch.rsqrt(variance + layer.eps).to(x)
    normed: Tensor = (x - mean.to(x).reshape(_shape(x))) * scale.reshape(_shape(x))
    if layer.affine:
        normed = normed * layer.weight.reshape(_shape(x)) + layer.bias.reshape(_shape(x))
    return normed


def _remember(layer: _BatchNorm, mean: Tensor, variance: Tensor, rows: Tensor) -> None:
    """Move the running statistics, as torch does."""
    if not layer.track_running_stats or layer.running_mean is None or layer.running_var is None:
        return
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked.add_(1)
    keep = layer.momentum if layer.momentum is not None else 1.0 / float(layer.num_batches_tracked)
    layer.running_mean.lerp_(mean.to(layer.running_mean), keep)
    layer.running_var.lerp_((variance * rows / (rows - 1)).to(layer.running_var), keep)


def _shape(x: Tensor) -> tuple[int, ...]:
    return (1, -1, *([1] * (x.ndim - 2)))
