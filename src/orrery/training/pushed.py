"""Rows that the cluster feeds to the workers of a gang: each is handed some, encodes them, and sees all.

Rows of a data frame have no order of their own: a cluster may give them in any, and in another when it makes
them again after a machine was lost. So they are numbered by what they hold, and a gang that starts again, or
is larger, or elsewhere, goes through the same batches.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from orrery.data.pipeline import Pipeline
from orrery.data.sources.handed import Handed
from orrery.data.table import Table
from orrery.engines.engine import Engine, Member
from orrery.engines.fed import Fed, fed_by, fed_of
from orrery.training.exchange.traffic import Traffic
from orrery.training.feed import Feed
from orrery.training.rows import Rows, together
from orrery.training.stretches import deal, own_part

_LOOK_S = 0.02


@dataclass(frozen=True)
class Pushed:
    """Rows that will come; ``rows`` says how to encode them, its tables what to do with what comes."""

    rows: Rows

    def feed(self, member: Member, barrier: Callable[[], object], traffic: Traffic) -> tuple[Feed, int]:
        """The whole feed, of which this worker encodes what it was handed; and how many rows that were."""
        assert member.scratch is not None
        rows = self.rows
        train, held = handed(rows.train, member), None if rows.held is None else handed(rows.held, member)
        feed, read = together(rows, train, held, member, barrier, traffic)
        for spill in member.scratch.glob(f"rows-{member.rank}-*"):
            spill.unlink()
        return feed.by_content() if rows.unordered else feed, read


def pushed(engine: Engine, rows: Rows) -> tuple[Pushed, list[Fed]] | None:
    """What workers are told, and what the engine feeds them; None where it is not the cluster's to feed."""
    train = fed_by(engine, rows.train)
    held = None if rows.held is None else fed_by(engine, rows.held)
    if train is None or (rows.held is not None and held is None):
        return None
    fed = [fed_of(pipeline, rows.columns) for pipeline in (train, held) if pipeline is not None]
    if len(fed) == 2 and fed[0].source is fed[1].source and fed[0].where == fed[1].where:
        both = dict.fromkeys([*fed[0].columns, *fed[1].columns])
        fed = [replace(fed[0], columns=tuple(both))]  # two parts of a split: their rows travel once
    made = replace(
        rows,
        sort=True,
        train=template(train, fed[0], 0),
        held=None if held is None else template(held, fed[-1], len(fed) - 1),
    )
    return Pushed(made), fed


@dataclass(frozen=True)
class Read:
    """Rows that executors read, each those of the worker that it keeps, and feed to it in their order."""

    parts: Sequence[Table]
    columns: Sequence[str]

    def own(self, rank: int, workers: int) -> Iterator[Any]:
        """The batches for one worker of so many."""
        return iter(own_part(self.parts, rank, workers).batches(columns=self.columns))


def read_there(rows: Rows, parts: int) -> tuple[Pushed, list[Read]]:
    """The same for rows in files and databases, that executors can read."""
    tables = [rows.train] if rows.held is None else [rows.train, rows.held]
    made = [_to_come(table, rows.columns, sort) for sort, table in enumerate(tables)]
    come = replace(rows, train=made[0], held=made[1] if len(made) > 1 else None)
    return Pushed(come), [Read(deal(table, parts), rows.columns) for table in tables]


def _to_come(table: Table, columns: Sequence[str], sort: int) -> Table:
    schema = table.select(*columns).empty().schema
    return Table(Handed(repr(table.source), schema, list(columns), None, Spill(sort)))


def template(pipeline: Pipeline, fed: Fed, sort: int) -> Table:
    """The table that a worker makes of what it is handed."""
    names = list(pipeline.schemas[0].names)
    place = repr(pipeline.source)
    return Table(
        Handed(place, pipeline.schemas[0], fed.names or names[:0], fed.where, Spill(sort)), pipeline.steps
    )


@dataclass(frozen=True)
class Spill:
    """What the keeper has put down for one worker: Arrow streams behind each other, of one sort of rows."""

    sort: int
    path: Path | None = None

    def __call__(self) -> Iterator[Any]:
        """Its batches."""
        if self.path is None or not self.path.exists():
            return
        with self.path.open("rb") as file:
            while head := file.read(8):
                yield from pa.ipc.open_stream(file.read(struct.unpack("<Q", head)[0]))


def handed(table: Table, member: Member) -> Table:
    """A template with the rows that this worker was handed; waits until all have come."""
    assert member.scratch is not None
    while not (member.scratch / f"rows-{member.rank}-all").exists():
        time.sleep(_LOOK_S)  # the keeper is at it; should it die, so does this process
    source = table.source
    assert isinstance(source, Handed)
    assert isinstance(source.batches, Spill)
    path = member.scratch / f"rows-{member.rank}-{source.batches.sort}.part"
    make = partial(Handed, str(source.place), source.columns, source.names, source.where)
    return Table(make(Spill(source.batches.sort, path)), table.steps)
