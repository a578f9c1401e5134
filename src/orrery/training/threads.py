"""How many threads a step is worth: sharing a small one among cores costs more than it saves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

ENOUGH = 1_000_000_000
"""Multiplications and additions in one forward pass, from which on all threads are used. Measured: at a
tenth of it two threads took over twice the processor time of one, at twice of it no more than one did."""


@contextmanager
def threads_that_pay(module: nn.Module, blocks: Mapping[str, Tensor]) -> Iterator[None]:
    """One thread inside, where a batch like ``blocks`` is little work; the number is put back afterwards.

    It depends on the network and the batch only, not on how busy the machine is: so the bits stay the same.
    """
    before = torch.get_num_threads()
    if work(module, blocks) < ENOUGH:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def work(module: nn.Module, blocks: Mapping[str, Tensor]) -> int:
    """Multiplications and additions of the linear and convolution layers in one forward pass.

    >>> work(nn.Sequential(nn.Linear(3, 5)), torch.ones(2, 3))
    60
    """
    total = 0

    def count(layer: nn.Module, given: Any, found: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        total += 2 * found.numel() * weight[0].numel()

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    hooks = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, kinds)]
    try:
        with torch.no_grad():
            module.eval()(blocks)
    finally:
        for hook in hooks:
            hook.remove()
    return total
