"""What a training run works with, what changes in it, and how both go into a checkpoint and come back."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from orrery.networks.augment import Augment
from orrery.networks.decoders.decoder import Decoder
from orrery.spec import code_key, stable_key
from orrery.training.checkpoint import pack, unpack
from orrery.training.events import Observer
from orrery.training.exchange.exchange import Exchange
from orrery.training.exchange.parts import as_part, whole
from orrery.training.feed import Feed
from orrery.training.recipe import Recipe
from orrery.training.world import World

STOPPED = "stopped by observer"


@dataclass
class State:
    """Where a run is: the numbers that change."""

    step: int = 0
    """Steps done in all."""
    epoch: int = 0
    """Epochs done."""
    batch: int = 0
    """Batches done of the epoch that runs."""
    loss: float = 0.0
    """Sum over those batches of loss times weight."""
    weight: float = 0.0
    rows: int = 0
    """That all workers looked at in those batches."""
    best_loss: float | None = None
    best_epoch: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the best epoch."""
    reason: str = ""
    """Why the run is over; empty while it goes on."""


@dataclass(frozen=True)
class Run:
    """What a run works with; of this only the tensors change."""

    module: nn.Module
    forward: nn.Module
    """The module, perhaps compiled."""
    judged: nn.Module
    """The module itself, or a copy that holds the running mean of its weights."""
    optimizer: torch.optim.Optimizer
    decoder: Decoder
    feed: Feed
    recipe: Recipe
    world: World
    observe: Observer
    augment: Augment | None
    exchange: Exchange
    key: str
    """What decides the outcome: two runs of one key end with the same weights."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The best weights so far."""

    @property
    def steps(self) -> int:
        """Planned in all; the last batch of an epoch may be short."""
        return self.recipe.epochs * math.ceil(self.feed.rows / self.recipe.batch_size)


def begin(
    module: nn.Module,
    decoder: Decoder,
    feed: Feed,
    recipe: Recipe,
    world: World,
    observe: Observer,
    augment: Augment | None,
    exchange: Exchange,
) -> Run:
    """A run at its very start."""
    module.to(world.device)
    judged = copy.deepcopy(module) if recipe.averaging else module
    key = _key(module, feed, recipe, world, augment)
    exchange.begin(module, judged)
    forward: nn.Module = torch.compile(module) if recipe.compile else module  # type: ignore[assignment]
    optimizer = _optimizer(module, recipe)
    return Run(
        module, forward, judged, optimizer, decoder, feed, recipe, world, observe, augment, exchange, key
    )


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Matrices decay; biases, norms and other vectors do not."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, recipe.learning_rate, fused=True)


def _key(module: nn.Module, feed: Feed, recipe: Recipe, world: World, augment: Augment | None) -> str:
    weights = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        weights.update(name.encode())
        weights.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    settings = recipe.model_dump(exclude={"checkpoint_s"})
    own = code_key(type(module))
    rows = (feed.fingerprint, feed.seed)
    size = world.size if world.fixed else 0
    gang = (size, world.exchange.to_dict() if size != 1 else None)
    return stable_key(weights.hexdigest(), own, *rows, settings, world.seed, *gang, repr(augment))


def snapshot(run: Run, state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All that a run needs to go on: tensors by name, and plain values."""
    optimizer = run.optimizer.state_dict()["state"]
    moments = {f"{i}/{name}": tensor for i, named in optimizer.items() for name, tensor in named.items()}
    groups = {
        "weights": run.module.state_dict(),
        "optimizer": moments,
        "best": run.best,
        "exchange": run.exchange.state,
    }
    if run.judged is not run.module:
        groups["mean"] = run.judged.state_dict()
    values = asdict(state)
    if state.reason == STOPPED:
        values["reason"] = ""  # whoever starts it again wants it to go on
    return {name: whole(tensor) for name, tensor in pack(groups).items()}, values


def resume(run: Run, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> State:
    """Put a snapshot back, and say where the run is."""
    put(run.module, unpack(tensors, "weights"))
    if run.judged is not run.module:
        put(run.judged, unpack(tensors, "mean"))
    for name, tensor in unpack(tensors, "exchange").items():
        if name in run.exchange.state:
            run.exchange.state[name].copy_(tensor)
        else:  # what the exchange makes at a later step
            run.exchange.state[name] = tensor
    moments: dict[int, dict[str, Tensor]] = {}
    parameters = [p for group in run.optimizer.param_groups for p in group["params"]]
    for name, tensor in unpack(tensors, "optimizer").items():
        index, _, part = name.partition("/")
        like = parameters[int(index)]
        moments.setdefault(int(index), {})[part] = as_part(tensor, like) if tensor.ndim else tensor
    groups = run.optimizer.state_dict()["param_groups"]
    run.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    now = run.judged.state_dict()
    for name, tensor in unpack(tensors, "best").items():
        run.best[name] = as_part(tensor.to(run.world.device), now[name])
    return State(**values)


def put(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Whole tensors into a module, of which this worker may hold a part."""
    now = module.state_dict()
    module.load_state_dict({name: as_part(tensor, now[name]) for name, tensor in tensors.items()})
