"""All-reduce: gradients are added up over all workers, in buckets, while the rest are still computed.

Each bucket is one flat tensor, of which the gradients of its parameters are views; so nothing is copied.
A bucket leaves as soon as its last gradient is there and all buckets before it have left: the order is the
same for every worker. Source: Li et al., "PyTorch Distributed", 2020, section 3.2.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from orrery.training.exchange.choice import AllReduce
from orrery.training.exchange.group import from_the_first, ring_bytes, ring_share, summed
from orrery.training.exchange.norms import share_norms, unshare_norms
from orrery.training.world import World

if TYPE_CHECKING:
    from orrery.training.exchange.lowrank import LowRank

_SHORT = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass
class Bucket:
    """Gradients that travel together."""

    parameters: list[nn.Parameter]
    flat: Tensor
    missing: set[int] = field(default_factory=set)
    """Parameters (by ``id``) whose gradient this step has not given yet."""
    work: Any = None
    short: Tensor | None = None
    """What travels, where that is not the gradients themselves."""

    def reset(self) -> None:
        """Gradients are zero, and views of the bucket."""
        self.flat.zero_()
        self.missing = {id(p) for p in self.parameters}
        self.work = self.short = None
        at = 0
        for p in self.parameters:
            p.grad = self.flat[at : at + p.numel()].view_as(p)
            at += p.numel()


class Reducer:
    """One worker's end of an all-reduce."""

    def __init__(self, settings: AllReduce, world: World, *, overlap: bool) -> None:
        self.settings = settings
        low = settings.compression == "powersgd"
        self.overlap = overlap and not low
        self.lockstep = False
        self.apart = low
        self.state: dict[str, Tensor] = {}
        self._size = world.size
        self._low: LowRank | None = None
        self.traffic = world.traffic
        self._buckets: list[Bucket] = []
        self._next = 0  # the first bucket that has not left
        self._device: torch.device | None = None

    def begin(self, module: nn.Module, judged: nn.Module) -> None:
        """Everybody takes the first worker's weights; gradients become views of buckets."""
        self._device = from_the_first(module)
        if judged is not module:
            from_the_first(judged)
        if self.settings.shared_norms:
            self.lockstep = share_norms(module, self.traffic)
        # Those that are computed last in the forward pass have their gradients first.
        self._buckets = _buckets([p for p in module.parameters() if p.requires_grad], self.settings)
        if self.apart:
            from orrery.training.exchange.lowrank import LowRank

            self._low = LowRank(self.settings.rank, self.settings.start, self._size, self.state)
        for bucket in self._buckets:
            bucket.reset()
            for p in bucket.parameters:
                ready = functools.partial(self._ready, bucket)
                p.register_post_accumulate_grad_hook(ready)  # type: ignore[no-untyped-call]

    def totals(self, values: Sequence[float]) -> list[float]:
        """The sums."""
        return summed(values, self._device, self.traffic)

    def before_step(self, module: nn.Module, told: Sequence[float], last: bool) -> list[float]:
        """What has not left yet leaves; then all that comes back is awaited."""
        began = time.perf_counter()
        unused = [bool(bucket.missing) for bucket in self._buckets]
        if self._low is not None:
            sent = self._low.agree([(bucket.flat, bucket.parameters) for bucket in self._buckets])
            self.traffic.sent_bytes += ring_share(sent * self._buckets[0].flat.element_size())
            self._next = len(self._buckets)
        while self._next < len(self._buckets):
            self._leave(self._buckets[self._next])
        given = torch.tensor([*told, float(any(unused))], dtype=torch.float64, device=self._device)
        work = self._sum(given)
        for bucket in self._buckets:
            if bucket.work is not None:
                bucket.work.wait()
            if bucket.short is not None:
                bucket.flat.copy_(bucket.short)
        work.wait()
        *sums, some_unused = given.tolist()
        if some_unused:
            self._forget_unused()
        self.traffic.steps += 1
        self.traffic.waited_s += time.perf_counter() - began
        return sums

    def after_step(self, module: nn.Module) -> None:
        """Ready for the next gradients."""
        for bucket in self._buckets:
            bucket.reset()
        self._next = 0

    def end(self, module: nn.Module) -> nn.Module:
        """Batch norms are by themselves again."""
        unshare_norms(module)
        return module

    def _ready(self, bucket: Bucket, parameter: Tensor) -> None:
        bucket.missing.discard(id(parameter))
        while self.overlap and self._next < len(self._buckets) and not self._buckets[self._next].missing:
            self._leave(self._buckets[self._next])

    def _leave(self, bucket: Bucket) -> None:
        kind = _SHORT.get(self.settings.compression)
        if kind is not None:
            bucket.short = bucket.flat.to(kind)
        bucket.work = self._sum(bucket.flat if bucket.short is None else bucket.short)
        self._next += 1

    def _sum(self, tensor: Tensor) -> Any:
        self.traffic.sent_bytes += ring_bytes(tensor)
        return dist.all_reduce(tensor, async_op=True)

    def _forget_unused(self) -> None:
        """Parameters that no worker's rows have touched have no gradient, as with one worker."""
        here = [float(id(p) not in b.missing) for b in self._buckets for p in b.parameters]
        used = torch.tensor(here, device=self._device)
        self._sum(used).wait()
        parameters = [p for bucket in self._buckets for p in bucket.parameters]
        for p, count in zip(parameters, used.tolist(), strict=True):
            if not count:
                p.grad = None


def _buckets(parameters: Sequence[nn.Parameter], settings: AllReduce) -> list[Bucket]:
    """In the order of their gradients, each of one type and device and about the size asked for."""
    groups: list[list[nn.Parameter]] = []
    size = 0
    for p in reversed(parameters):
        last = groups[-1][-1] if groups else None
        full = size + p.nbytes > settings.bucket_bytes
        if last is None or full or (last.dtype, last.device) != (p.dtype, p.device):
            groups.append([])
            size = 0
        groups[-1].append(p)
        size += p.nbytes
    return [
        Bucket(
            group, torch.zeros(sum(p.numel() for p in group), dtype=group[0].dtype, device=group[0].device)
        )
        for group in groups
    ]
