"""Rows that are still where they lie, and how to encode them: what the workers of a gang are handed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orrery.data.table import Table
from orrery.errors import EmptyTableError
from orrery.features.plan import FeaturePlan
from orrery.features.target import Target
from orrery.training.encoding import MEMORY_BYTES, encode
from orrery.training.feed import Feed
from orrery.training.sharing import first_of, flatten, share, unflatten
from orrery.training.stretches import deal


@dataclass(frozen=True)
class Rows:
    """What a feed is made of; nothing is read yet."""

    plan: FeaturePlan
    target: Target
    train: Table
    held: Table | None = None
    weight: str | None = None
    seed: int = 0

    def feed(self) -> Feed:
        """Encoded by this process alone."""
        return Feed.build(
            self.plan, self.target, self.train, validation=self.held, weight=self.weight, seed=self.seed
        )

    def dealt(self, workers: int, idle: int = 0) -> Dealt:
        """Which worker reads what; small. The last ``idle`` workers read nothing."""
        held = None if self.held is None else deal(self.held, workers, idle)
        return Dealt(self, deal(self.train, workers, idle), held)


@dataclass(frozen=True)
class Dealt:
    """Rows, and the part of them that each worker reads."""

    rows: Rows
    train: list[Table]
    held: list[Table] | None

    def feed(self, rank: int, scratch: Path, barrier: Callable[[], object]) -> tuple[Feed, int]:
        """The whole feed, of which this worker encodes its part; and how many rows it read."""
        held, read = None, 0
        if self.held is not None:
            held, read = self._encoded(self.held, rank, scratch / "held", barrier, training=False)
        feed, own = self._encoded(self.train, rank, scratch / "train", barrier, training=True)
        feed.validation = held
        return feed, read + own

    def _encoded(
        self, parts: list[Table], rank: int, path: Path, barrier: Callable[[], object], *, training: bool
    ) -> tuple[Feed, int]:
        plan, target, rows = self.rows.plan, self.rows.target, self.rows
        own, hashes = encode(
            plan, target, parts[rank], rows.weight, MEMORY_BYTES, training=training, needed=False
        )
        same = first_of(own.blocks, plan.outputs)
        arrays = share(flatten(own, hashes, plan.outputs), rank, len(parts), path, barrier)
        whole, hashes = unflatten(arrays, same)
        if not len(whole.target):
            raise EmptyTableError("There are no rows to learn from.")
        return Feed(plan.outputs, target, whole, hashes, seed=rows.seed), len(own.target)
