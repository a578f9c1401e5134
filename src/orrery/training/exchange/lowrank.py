"""Gradients as products of narrow matrices: far fewer bytes, and what is lost comes in with the next step.

The arithmetic is torch's own (its hook for ``DistributedDataParallel``), one bucket after the other, so that
all workers send in one order. What a worker's gradients lost (the error that is fed back) is its own, and in
its checkpoint. Source: Vogels et al., "PowerSGD", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook

_TINY = 1e-8  # so that a gradient of zeros is divided by something


class LowRank:
    """One worker's end. ``state`` is where it keeps what a checkpoint has to hold."""

    def __init__(self, rank: int, start: int, size: int, state: dict[str, Tensor]) -> None:
        self.size = size
        self.state = state
        self.state["steps"] = torch.zeros((), dtype=torch.int64)
        self._sgd = PowerSGDState(None, rank, start, orthogonalization_epsilon=_TINY)

    def agree(self, buckets: Sequence[tuple[Tensor, list[nn.Parameter]]]) -> int:
        """Gradients become the sums of all workers'; how many numbers travelled for that."""
        self._sgd.iter = int(self.state["steps"])
        sent = 0
        for index, (flat, parameters) in enumerate(buckets):
            self._put(index, flat.device)
            before = self._sgd.total_numel_after_compression
            last = index == len(buckets) - 1
            powerSGD_hook(self._sgd, _Bucket(index, flat, parameters, last)).wait()
            flat.mul_(self.size)  # it gives the mean
            sent += self._sgd.total_numel_after_compression - before or flat.numel()
            self._take(index)
        self.state["steps"] += 1
        return sent

    def _parts(self) -> dict[str, dict[int, Tensor]]:
        sgd = self._sgd
        return {"error": sgd.error_dict, "p": sgd.p_memory_dict, "q": sgd.q_memory_dict}

    def _put(self, index: int, device: torch.device) -> None:
        """What a checkpoint held; else it is there already."""
        for name, part in self._parts().items():
            if index not in part and f"{name}/{index}" in self.state:
                part[index] = self.state[f"{name}/{index}"].to(device)

    def _take(self, index: int) -> None:
        self.state |= {
            f"{name}/{index}": part[index] for name, part in self._parts().items() if index in part
        }


class _Bucket:
    """Gradients as the hook asks for them."""

    def __init__(self, index: int, flat: Tensor, parameters: list[nn.Parameter], last: bool) -> None:
        self._index, self._flat, self._parameters, self._last = index, flat, parameters, last

    def index(self) -> int:
        return self._index

    def buffer(self) -> Tensor:
        return self._flat

    def gradients(self) -> list[Any]:
        return [p.grad for p in self._parameters]

    def parameters(self) -> list[nn.Parameter]:
        return self._parameters

    def is_last(self) -> bool:
        return self._last
