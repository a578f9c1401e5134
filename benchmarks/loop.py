"""The training loop beside one written by hand: the same network, rows, batches, optimizer and schedule.

What ours does besides (the one order of rows, checks, seeds, events, losses by row weight) may cost a
twentieth of the time at most. Both have all rows encoded in memory before the clock starts, and one thread:
ours would choose one for work so small, which is quicker than PyTorch's own choice and would hide the cost.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import harness
from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.networks.decoders.category import CategoryDecoder
from orrery.networks.inputs import as_arrays
from orrery.networks.network import build
from orrery.schema import Kind
from orrery.training.events import Event
from orrery.training.feed import Feed
from orrery.training.loop import train
from orrery.training.recipe import Recipe, learning_rate
from orrery.training.world import World

GOAL = 1.05
TARGET = Target(name="y", kind=Kind.CATEGORY, type="int64", labels=tuple(range(10)), width=10)


def table_feed(rows: int = 20_000) -> Feed:
    """30 numbers and 10 categories per row."""
    chance = np.random.default_rng(0)
    sizes = (20,) * 10
    outputs = (
        Output(name="number", role=Role.NUMBER, width=30),
        Output(name="category", role=Role.CODE, width=10, sizes=sizes, dtype="int32"),
    )
    codes = chance.integers(0, sizes, (rows, 10), dtype=np.int32)
    blocks = {"number": chance.standard_normal((rows, 30)), "category": codes}
    return Feed.of(outputs, TARGET, blocks, chance.integers(0, 10, rows))


def picture_feed(rows: int = 1_437) -> Feed:
    """Pictures as small and as many as the digits of the example."""
    chance = np.random.default_rng(0)
    output = Output(
        name="image", role=Role.TENSOR, shape=(1, 8, 8), dtype="uint8", mean=(127.0,), std=(74.0,)
    )
    pictures = chance.integers(0, 256, (rows, 1, 8, 8), dtype=np.uint8)
    return Feed.of((output,), TARGET, {"image": pictures}, chance.integers(0, 10, rows))


def by_hand(
    module: nn.Module, blocks: Mapping[str, torch.Tensor], truth: torch.Tensor, recipe: Recipe
) -> None:
    """What one would write without Orrery."""
    optimizer = torch.optim.AdamW(
        module.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    rows, size = len(truth), recipe.batch_size
    steps = recipe.epochs * -(-rows // size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate(recipe, step, steps) / recipe.learning_rate
    )
    module.train()
    for _ in range(recipe.epochs):
        total = 0.0
        order = torch.randperm(rows)
        for start in range(0, rows, size):
            batch = order[start : start + size]
            optimizer.zero_grad()
            scores = module({name: block[batch] for name, block in blocks.items()})
            loss = functional.cross_entropy(scores, truth[batch])
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_norm)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)


def compare(name: str, feed: Feed, recipe: Recipe) -> dict[str, Any]:
    """One measure: seconds for all epochs."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = build(feed.outputs, feed.target)
    everything = feed.all()
    arrays = as_arrays(everything.blocks, feed.outputs)
    blocks = {key: torch.from_numpy(array) for key, array in arrays.items()}
    truth = torch.from_numpy(everything.target)

    def watch(event: Event) -> None:
        """Somebody always watches."""

    def ours() -> float:
        module = copy.deepcopy(made)
        return harness.seconds(lambda: train(module, CategoryDecoder(), feed, recipe, World(), watch))

    def reference() -> float:
        module = copy.deepcopy(made)
        return harness.seconds(lambda: by_hand(module, blocks, truth, recipe))

    ours(), reference()  # warm: allocators, kernels chosen
    return harness.paired(name, ours, reference, unit="s", who="PyTorch by hand", goal=GOAL, runs=9)


def measure() -> list[dict[str, Any]]:
    """Tables and pictures."""
    table = Recipe(epochs=2, batch_size=256)
    pictures = Recipe(epochs=3, batch_size=32)
    return [
        compare("train: 20,000 rows, 40 columns, 2 epochs", table_feed(), table),
        compare("train: 1,437 pictures of 8 x 8, 3 epochs", picture_feed(), pictures),
    ]


if __name__ == "__main__":
    harness.run("loop", measure())
