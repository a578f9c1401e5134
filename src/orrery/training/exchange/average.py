"""Averaging: workers learn on their own rows for some steps, then all take the mean of their weights."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from orrery.training.exchange.choice import Average
from orrery.training.exchange.group import Untold, from_the_first, ring_bytes, summed
from orrery.training.world import World


class Averager:
    """One worker's end of averaging. ``state`` holds the weights that were last agreed on, and velocities."""

    lockstep = False
    apart = True

    def __init__(self, settings: Average, world: World) -> None:
        self.settings = settings
        self.traffic = world.traffic
        self.size = world.size
        self.state: dict[str, Tensor] = {}
        self._steps: Tensor = torch.zeros((), dtype=torch.int64)
        self._meet = False
        self._untold = Untold()
        self._device: torch.device | None = None

    def begin(self, module: nn.Module, judged: nn.Module) -> None:
        """Everybody takes the first worker's weights."""
        self._device = from_the_first(module)
        if judged is not module:
            from_the_first(judged)
        self._judged = judged
        self.state["steps"] = self._steps
        for name, p in module.named_parameters():
            self.state[f"agreed/{name}"] = p.detach().clone()
            self.state[f"velocity/{name}"] = torch.zeros_like(p)

    def totals(self, values: Sequence[float]) -> list[float]:
        """The sums."""
        return summed(values, self._device, self.traffic)

    def before_step(self, module: nn.Module, told: Sequence[float], last: bool) -> list[float]:
        """Gradients stay here, as if this worker's rows were the batch; wishes are heard when all meet."""
        for p in module.parameters():
            if p.grad is not None:
                p.grad.mul_(self.size)
        self._steps += 1
        self.traffic.steps += 1
        every = self.settings.every
        self._meet = last or (every is not None and int(self._steps) % every == 0)
        if self._meet:
            return self.totals(self._untold.all(told))
        loss, *nothing = self._untold.kept(told)
        return [loss * self.size, *nothing]

    def after_step(self, module: nn.Module) -> None:
        """Where all meet: the mean of the weights, or a step along the mean move."""
        if not self._meet:
            return
        began = time.perf_counter()
        with torch.no_grad():
            for name, p in module.named_parameters():
                self._agree(name, p)
            judged = [] if self._judged is module else list(self._judged.parameters())
            for tensor in [*judged, *module.buffers()]:
                self._mean(tensor)
        self.traffic.waited_s += time.perf_counter() - began

    def end(self, module: nn.Module) -> nn.Module:
        """The module itself: an epoch ends with the mean."""
        return module

    def _agree(self, name: str, p: nn.Parameter) -> None:
        agreed, velocity = self.state[f"agreed/{name}"], self.state[f"velocity/{name}"]
        self._mean(p)
        rate, momentum = self.settings.outer_rate, self.settings.outer_momentum
        if rate != 1.0 or momentum:
            move = agreed - p
            velocity.mul_(momentum).add_(move)
            p.copy_(agreed - rate * (move + momentum * velocity))  # Nesterov's form
        agreed.copy_(p)

    def _mean(self, tensor: Tensor) -> None:
        if not tensor.is_floating_point():
            return
        self.traffic.sent_bytes += ring_bytes(tensor)
        dist.all_reduce(tensor)
        tensor.div_(self.size)
