"""Sharding: each worker holds its part of the parameters, of their gradients and of the optimizer's state."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from orrery.training.exchange.choice import Sharded
from orrery.training.exchange.group import from_the_first, ring_bytes, summed
from orrery.training.exchange.norms import share_norms
from orrery.training.exchange.parts import whole
from orrery.training.world import World

_ALONE = (nn.ModuleList, nn.ModuleDict)  # they hold layers, and are never called


class Sharder:
    """One worker's end of sharding."""

    lockstep = True
    apart = False

    def __init__(self, settings: Sharded, world: World) -> None:
        self.settings = settings
        self.traffic = world.traffic
        self.state: dict[str, Tensor] = {}
        self._kind = world.device.partition(":")[0]
        self._size = world.size
        self._device: torch.device | None = None
        self._hollow = nn.Module()
        self._step_bytes = 0

    def begin(self, module: nn.Module, judged: nn.Module) -> None:
        """Everybody takes the first worker's weights, and keeps a part of each parameter."""
        self._device = from_the_first(module)
        # What the module will be again at the end: all but its parameters.
        self._hollow = copy.deepcopy(module)
        for p in self._hollow.parameters():
            p.data = torch.empty(0)
        count = sum(p.numel() for p in module.parameters())
        # Gathered for the forward and for the backward pass; the gradients are added up once.
        self._step_bytes = 3 * sum(ring_bytes(p) // 2 for p in module.parameters())
        if judged is not module:
            self._shard(judged)
        share_norms(module, self.traffic)
        self._shard(module)
        held = sum(p.to_local().numel() for p in module.parameters() if isinstance(p, DTensor))
        self.traffic.held_share = held / max(count, 1)

    def _shard(self, module: nn.Module) -> None:
        mesh = init_device_mesh(self._kind, (self._size,))
        for layer in reversed(list(module.modules())):  # the innermost first; the module itself last
            large = sum(p.numel() for p in layer.parameters()) >= self.settings.least
            if layer is module or (large and not isinstance(layer, _ALONE)):
                sharded = fully_shard(layer, mesh=mesh)
                # Losses are shares of the whole batch's already: a sum, and nothing is divided.
                sharded.set_gradient_divide_factor(1.0)
                sharded.set_force_sum_reduction_for_comms(True)

    def totals(self, values: Sequence[float]) -> list[float]:
        """The sums."""
        return summed(values, self._device, self.traffic)

    def before_step(self, module: nn.Module, told: Sequence[float], last: bool) -> list[float]:
        """The gradients have been added up in the backward pass."""
        began = time.perf_counter()
        self.traffic.steps += 1
        self.traffic.sent_bytes += self._step_bytes
        found = self.totals(told)
        self.traffic.waited_s += time.perf_counter() - began
        return found

    def after_step(self, module: nn.Module) -> None:
        """Each worker has moved its part."""

    def end(self, module: nn.Module) -> nn.Module:
        """A module with whole parameters, gathered from all."""
        tensors = {name: whole(tensor) for name, tensor in module.state_dict().items()}
        for name, p in self._hollow.named_parameters():
            p.data = tensors[name]
        self._hollow.load_state_dict(tensors)
        return self._hollow
