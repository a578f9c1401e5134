"""A parameter server: the gang's last worker holds the parameters and the optimizer.

A worker pushes its gradients, and waits for the parameters that come back. How long the server keeps it
waiting is all that sets synchronous, asynchronous and bounded apart. Batch norms are each worker's own; their
statistics, and running means of weights, are averaged when an epoch ends. After a restart the optimizer's
moments begin anew: they are in no checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from orrery.training.exchange.choice import Server
from orrery.training.exchange.group import Untold, from_the_first
from orrery.training.recipe import learning_rate
from orrery.training.world import World

if TYPE_CHECKING:
    from orrery.training.run import Run

PUSH, PULL, DONE = 0.0, 1.0, 2.0
"""What a message is, in its last number; before it are the gradients."""


class Pusher:
    """A learning worker's end; for the server itself, what it has in common with them."""

    lockstep = apart = False

    def __init__(self, settings: Server, world: World) -> None:
        self.settings = settings
        self.traffic = world.traffic
        self.state: dict[str, Tensor] = {}
        self.size = world.size
        self.server = world.size  # its rank: they learn, it comes after them
        self._learns = not world.serves
        self._device: torch.device | None = None
        self._untold = Untold()

    def begin(self, module: nn.Module, judged: nn.Module) -> None:
        """Everybody takes the first worker's weights."""
        self._device = from_the_first(module)
        if judged is not module:
            from_the_first(judged)
        self._judged = judged
        self._group: Any = dist.new_group(list(range(self.size)))
        self._last = False

    def totals(self, values: Sequence[float]) -> list[float]:
        """The sums over those who learn."""
        given = torch.tensor(list(values), dtype=torch.float64, device=self._device)
        dist.all_reduce(given, group=self._group)
        found: list[float] = given.tolist()
        return found

    def before_step(self, module: nn.Module, told: Sequence[float], last: bool) -> list[float]:
        """Push the gradients, pull the parameters; the optimizer here finds nothing to do."""
        began = time.perf_counter()
        together = self.settings.mode == "sync"
        parameters = [p for p in module.parameters() if p.requires_grad]
        flat = [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in parameters]
        gradient = torch.cat(flat)
        self._ask(module, gradient if together else gradient * self.size, PUSH)
        for p in parameters:
            p.grad = None
        self._last = last
        self.traffic.steps += 1
        self.traffic.waited_s += time.perf_counter() - began
        if together or last:
            return self.totals(self._untold.all(told))
        loss, *nothing = self._untold.kept(told)
        return [loss * self.size, *nothing]

    def after_step(self, module: nn.Module) -> None:
        """At the end of an epoch all have the same: nobody pushes until everybody has pulled."""
        if not self._last:
            return
        self._ask(module, torch.zeros(sum(p.numel() for p in _learnt(module))), PULL)
        judged = [] if self._judged is module else list(self._judged.parameters())
        with torch.no_grad():
            for tensor in [*judged, *module.buffers()]:
                if tensor.is_floating_point():
                    dist.all_reduce(tensor, group=self._group)
                    tensor.div_(self.size)

    def end(self, module: nn.Module) -> nn.Module:
        """Let the server go."""
        if self._learns:
            numbers = torch.zeros(sum(p.numel() for p in _learnt(module)) + 1)
            numbers[-1] = DONE
            dist.send(numbers, self.server)
        return module

    def _ask(self, module: nn.Module, gradient: Tensor, kind: float) -> None:
        message = torch.cat([gradient, torch.tensor([kind])])
        dist.send(message, self.server)
        answer = torch.empty(len(gradient))
        dist.recv(answer, self.server)
        self.traffic.sent_bytes += message.nbytes
        spread(answer, _learnt(module))


def serve(run: Run, step: int) -> int:
    """Be the server until all others are done; how many updates were made.

    ``step``: where the run is. Sends the parameters back by the rules of the mode.
    """
    settings, size = run.world.exchange, run.world.size
    assert isinstance(settings, Server)
    parameters = _learnt(run.module)
    message = torch.empty(sum(p.numel() for p in parameters) + 1)
    clocks, waiting = dict.fromkeys(range(size), 0), dict[int, Tensor]()
    updates = step * (1 if settings.mode == "sync" else size)
    while clocks:
        sender = dist.recv(message)
        if message[-1] == DONE:
            del clocks[sender]
        elif message[-1] == PULL:
            dist.send(_flat(parameters), sender)
            continue
        elif settings.mode == "sync":
            clocks[sender] += 1
            waiting[sender] = message[:-1].clone()
            if len(waiting) < size:
                continue
            # Added up in the order of ranks, whoever came first: so the bits are the same each time.
            _move(run, sum((waiting[rank] for rank in sorted(waiting)), torch.zeros(())), updates, 1)
            updates += 1
        else:
            clocks[sender] += 1
            waiting[sender] = message[:0]
            _move(run, message[:-1].clone(), updates // size, size)
            updates += 1
        least = min(clocks.values(), default=0)
        for rank in [r for r in waiting if _may_go(settings, clocks.get(r, 0), least)]:
            dist.send(_flat(parameters), rank)
            del waiting[rank]
    return updates


def _may_go(settings: Server, clock: int, least: int) -> bool:
    return settings.mode != "bounded" or clock - least <= settings.staleness


def _move(run: Run, gradient: Tensor, step: int, share: int) -> None:
    """One move of the parameters, at the rate of a step shared by so many moves."""
    parameters = _learnt(run.module)
    for p, part in zip(parameters, torch.split(gradient, [p.numel() for p in parameters]), strict=True):
        p.grad = part.view_as(p).clone()
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run.recipe, step, run.steps) / share
    if run.recipe.clip_norm:
        nn.utils.clip_grad_norm_(parameters, run.recipe.clip_norm)
    run.optimizer.step()


def spread(flat: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    """Put one flat tensor into parameters."""
    with torch.no_grad():
        for p, part in zip(parameters, torch.split(flat, [p.numel() for p in parameters]), strict=True):
            p.copy_(part.view_as(p))


def _flat(parameters: Sequence[nn.Parameter]) -> Tensor:
    return torch.cat([p.detach().flatten() for p in parameters])


def _learnt(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]
