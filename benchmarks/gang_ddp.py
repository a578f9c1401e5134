"""The same training twice: by Orrery's loop, and by hand with torch's DDP, as a script for ``torchrun``."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.networks.decoders.category import CategoryDecoder
from orrery.networks.network import build
from orrery.schema import Kind
from orrery.training.blocks import Batch
from orrery.training.events import Epoch, Event
from orrery.training.feed import Feed
from orrery.training.loop import train
from orrery.training.recipe import Recipe, learning_rate
from orrery.training.world import World

EPOCHS = 3
ROWS, NUMBERS, WIDTH = 8_192, 256, 512
RECIPE = Recipe(epochs=EPOCHS + 1, batch_size=2_048, patience=None)
TARGET = Target(name="y", kind=Kind.CATEGORY, type="int64", labels=tuple(range(10)), width=10)


class TimedFeed(Feed):
    """A feed that counts the seconds in which its caller waits for rows."""

    waited_s = 0.0

    def batches(self, *args: Any, **settings: Any) -> Iterator[Batch]:
        """As a feed."""
        each = super().batches(*args, **settings)
        while True:
            began = time.perf_counter()
            batch = next(each, None)
            self.waited_s += time.perf_counter() - began
            if batch is None:
                return
            yield batch


def feed() -> TimedFeed:
    """Numbers, as many that a step is nearly all computing."""
    chance = np.random.default_rng(0)
    output = Output(name="number", role=Role.NUMBER, width=NUMBERS)
    blocks = {"number": chance.standard_normal((ROWS, NUMBERS))}
    return TimedFeed.of((output,), TARGET, blocks, chance.integers(0, 10, ROWS))


def network(rows: Feed) -> nn.Module:
    """The default network for a table, wide."""
    torch.manual_seed(0)
    return build(rows.outputs, TARGET, width=WIDTH, depth=2, dropout=0.0)


def compute_bound(rank: int, size: int) -> tuple[float, Any]:
    """Orrery's loop: seconds of all epochs but the first, and shares of the time."""
    from orrery.training.exchange.single import Single

    rows, world = feed(), World(rank=rank, size=size)
    module = network(rows)
    gradients = sum(p.nbytes for p in module.parameters())
    exchange = world.exchange.open(world, RECIPE) if size > 1 else Single()
    ends: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Epoch):
            ends.append(time.perf_counter())

    began = time.perf_counter()
    train(module, CategoryDecoder(), rows, RECIPE, world, watch, None, exchange)
    whole = time.perf_counter() - began
    traffic = world.traffic
    shares = {
        "exchange": traffic.waited_s / whole,
        "data": rows.waited_s / whole,
        "bytes": traffic.sent_bytes / max(traffic.steps, 1),
        # For each byte that a ring of so many has to send.
        "overhead": traffic.sent_bytes / max(traffic.steps, 1) / max(2 * (size - 1) / size * gradients, 1),
    }
    return ends[-1] - ends[0], shares


def by_hand() -> float:
    """What ``torchrun`` runs: seconds of all epochs but the first."""
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    rows, world = feed(), World(rank=distributed.get_rank(), size=distributed.get_world_size())
    module = DistributedDataParallel(network(rows))
    matrices = [p for p in module.parameters() if p.ndim > 1]
    vectors = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, RECIPE.learning_rate, fused=True)
    numbers = torch.from_numpy(rows.all().blocks["number"]).float()  # type: ignore[arg-type]
    truth = torch.from_numpy(rows.all().target)
    ends, step, steps = [], 0, RECIPE.epochs * ROWS // RECIPE.batch_size
    module.train()
    for epoch in range(RECIPE.epochs):
        order = torch.from_numpy(rows.order(epoch))
        for low in range(0, ROWS, RECIPE.batch_size):
            batch = order[low : low + RECIPE.batch_size].chunk(world.size)[world.rank]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(RECIPE, step, steps)
            loss = functional.cross_entropy(module({"number": numbers[batch]}), truth[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), RECIPE.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        ends.append(time.perf_counter())
    distributed.destroy_process_group()
    return ends[-1] - ends[0]


def seconds_of_epochs(printed: str) -> float:
    """The slowest worker's seconds, out of what all printed."""
    return max(float(seconds) for seconds in re.findall(r"seconds: (\S+);", printed))


if __name__ == "__main__":
    print(f"seconds: {by_hand()};", flush=True)
