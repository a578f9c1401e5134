"""Rows that are still where they lie, and how to encode them: what the workers of a gang are handed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orrery.data.address import source_of
from orrery.data.sources.ray import RayData
from orrery.data.sources.spark import Spark, folder_of
from orrery.data.table import Table
from orrery.engines.engine import Member
from orrery.errors import EmptyTableError, SettingsError
from orrery.features.plan import FeaturePlan
from orrery.features.target import Target
from orrery.training.encoding import MEMORY_BYTES, encode
from orrery.training.exchange.traffic import Traffic
from orrery.training.feed import Feed
from orrery.training.sharing import first_of, flatten, share, unflatten
from orrery.training.stretches import deal, own_part

CLUSTERED = (RayData, Spark)
"""Sources whose rows lie on a cluster, in no order of their own."""


@dataclass(frozen=True)
class Rows:
    """What a feed is made of; nothing is read yet."""

    plan: FeaturePlan
    target: Target
    train: Table
    held: Table | None = None
    weight: str | None = None
    seed: int = 0
    sort: bool = False
    """Whether the rows' order is that of what they hold."""

    def feed(self) -> Feed:
        """Encoded by this process alone."""
        feed = Feed.build(
            self.plan, self.target, self.train, validation=self.held, weight=self.weight, seed=self.seed
        )
        return feed.by_content() if self.unordered else feed

    @property
    def unordered(self) -> bool:
        """Whether the rows have no order of their own; they get one from what they hold."""
        return self.sort or isinstance(self.train.source, CLUSTERED)

    @property
    def columns(self) -> list[str]:
        """The columns that are encoded."""
        return list(dict.fromkeys([*self.plan.inputs, self.target.name, *filter(None, [self.weight])]))

    def pulled(self) -> Rows:
        """The same rows, which workers can read where they lie. Raises SettingsError where they cannot."""
        held = None if self.held is None else pulled(self.held)
        return replace(self, train=pulled(self.train), held=held, sort=self.unordered)

    def dealt(self, parts: int, idle: int = 0) -> Dealt:
        """Which worker reads what; small. The last ``idle`` workers read nothing."""
        held = None if self.held is None else deal(self.held, parts)
        return Dealt(self, deal(self.train, parts), held, idle)


@dataclass(frozen=True)
class Dealt:
    """Rows, and parts of them, of which each worker reads one or more; the last ``idle`` workers none."""

    rows: Rows
    train: list[Table]
    held: list[Table] | None
    idle: int = 0

    def feed(self, member: Member, barrier: Callable[[], object], traffic: Traffic) -> tuple[Feed, int]:
        """The whole feed, of which this worker encodes its part; and how many rows it read."""
        place = member.rank, member.size - self.idle
        held = None if self.held is None else own_part(self.held, *place)
        feed, read = together(self.rows, own_part(self.train, *place), held, member, barrier, traffic)
        return feed.by_content() if self.rows.unordered else feed, read


def pulled(table: Table) -> Table:
    """A table of the files that a data frame consists of; other tables as they are. Raises SettingsError."""
    if not isinstance(table.source, CLUSTERED):
        return table
    place = folder_of(table.source) if isinstance(table.source, Spark) else None
    if place is None:
        raise SettingsError(
            f"feed='pull' needs rows that workers can read themselves; {table.source!r} is no plain files.",
            hint="Write it to files first, or leave feed='push'.",
        )
    found = Table(source_of(place, {}, {}), table.steps)
    if found.schema.fields != table.schema.fields:
        raise SettingsError(
            f"feed='pull' reads other columns or types from {place} than Spark does.",
            hint="Leave feed='push'.",
        )
    return found


def together(
    rows: Rows,
    train: Table,
    held: Table | None,
    member: Member,
    barrier: Callable[[], object],
    traffic: Traffic,
) -> tuple[Feed, int]:
    """The feed of all workers' rows, of which this one has some; and how many it read."""
    scratch = member.scratch
    assert scratch is not None

    def encoded(table: Table, name: str) -> tuple[Feed, int]:
        own, hashes = encode(
            rows.plan, rows.target, table, rows.weight, MEMORY_BYTES, training=name == "train", needed=False
        )
        outputs = rows.plan.outputs
        arrays = flatten(own, hashes, outputs)
        rank, size, places = member.rank, member.size, member.places
        shared = share(arrays, rank, size, scratch / name, barrier, places, traffic)
        whole, hashes = unflatten(shared, first_of(own.blocks, outputs))
        if not len(whole.target):
            raise EmptyTableError("There are no rows to learn from.")
        return Feed(outputs, rows.target, whole, hashes, seed=rows.seed), len(own.target)

    validation, read = (None, 0) if held is None else encoded(held, "held")
    feed, own = encoded(train, "train")
    feed.validation = validation
    return feed, read + own
