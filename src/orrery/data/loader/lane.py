"""One lane while it is read: units arrive, blocks are put together, rows wait in their final order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from orrery.data.loader.arena import Slots
from orrery.data.loader.order import Block, Lane


class Read(NamedTuple):
    """Rows ``low`` to ``high`` of a unit, in the order in which it gives them."""

    unit: int
    low: int
    high: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.high - self.low


@dataclass
class Held:
    """What a unit has still to give: slots, and the other columns, both in the order in which it gives."""

    slots: Slots
    given: int
    ready: int
    """Rows up to here have arrived."""
    ragged: Any = None
    cut: int = 0
    """Rows that ``ragged`` lacks at its beginning, as they were let go."""
    _ends: dict[int, int] = field(default_factory=dict)

    def arrive(self, low: int, slots: Slots) -> None:
        """Rows from ``low`` on are in these slots; parts come in any order."""
        self._ends[low] = low + len(slots)
        self.slots[low : low + len(slots)] = slots
        while self.ready in self._ends:
            self.ready = self._ends.pop(self.ready)

    def take(self, rows: int) -> tuple[Slots, Any]:
        """The next rows. Once half of a unit is given, the memory of that half is let go."""
        low, self.given = self.given, self.given + rows
        slots = self.slots[low : self.given]
        if self.ragged is None:
            return slots, None
        taken = self.ragged.slice(low - self.cut, rows)
        rest = self.ragged.num_rows - (self.given - self.cut)
        if rest and rest * 2 <= self.ragged.num_rows:
            self.ragged = copied(self.ragged.slice(self.given - self.cut))
            self.cut = self.given
        return slots, taken


class Feed:
    """A lane from some position on. Reading and putting together may each be done by one thread at a time."""

    def __init__(self, lane: Lane, position: int, *, in_parts: bool = False) -> None:
        self.lane = lane
        self.queued = 0
        """Rows that wait in their final order."""
        self.busy = False
        """Whether a thread puts blocks together."""
        self._queue: deque[tuple[Slots, Any]] = deque()
        self._blocks = lane.blocks()
        self._planned: deque[Block] = deque()
        self._reading: set[int] = set()
        self._held: dict[int, Held] = {}
        self._start, self._end = position, 0  # the position asked for; where what is planned ends
        self._last = -1  # the last block that is planned
        while self._last + 1 < len(lane.units) and self._end <= position:
            self._planned.clear()
            self._plan()
        self._begun = self._planned[0] if self._planned else Block(0, 0, 0, (), ())
        left = self._end > position
        self._first = deque(_first_reads(self._begun, lane.sizes, in_parts=in_parts) if left else ())
        self._unit = self._begun.index + 1 if left else len(lane.units)  # the next after those

    def _plan(self) -> None:
        block = next(self._blocks)
        self._planned.append(block)
        self._last, self._end = block.index, block.start + block.rows

    @property
    def pending(self) -> bool:
        """Whether there are units to be read."""
        return bool(self._first) or self._unit < len(self.lane.units)

    def next_read(self) -> Read:
        """What is to be read next."""
        return self._first[0] if self._first else Read(self._unit, 0, self.lane.sizes[self._unit])

    def wanted_at(self) -> int:
        """The position of the lane at which the next read is needed."""
        if self._first:
            begun, (unit, low, _) = self._begun, self._first[0]
            soon = low == begun.given[unit - begun.first] and begun.takes[unit - begun.first]
            return self._start if soon else begun.start + begun.rows
        while self._last < self._unit - 1:
            self._plan()
        return self._end if self._last == self._unit - 1 else self._planned[-1].start

    def follows(self) -> bool:
        """Whether the next read goes on in a group that a thread is reading now."""
        unit = self.next_read().unit
        if (unit - 1) not in self._reading:
            return False
        return self.lane.units[unit - 1][-1].group == self.lane.units[unit][0].group

    def begin(self) -> Read:
        """The next read, which is then another."""
        found = self.next_read()
        self._reading.add(found.unit)
        if self._first:
            self._first.popleft()
        else:
            self._unit += 1
        return found

    def arrive(self, read: Read, slots: Slots, ragged: Any) -> None:
        """Rows of a unit were read."""
        self._reading.discard(read.unit)
        if read.unit not in self._held:
            given = self._given(read.unit)
            space = np.empty(self.lane.sizes[read.unit], np.int32)
            self._held[read.unit] = Held(space, given, given, ragged, given)
        self._held[read.unit].arrive(read.low, slots)

    def _given(self, unit: int) -> int:
        """How many rows of a unit were given before we began."""
        place = unit - self._begun.first
        return self._begun.given[place] if place < len(self._begun.given) else 0

    def _is_there(self, unit: int, rows: int) -> bool:
        held = self._held.get(unit)
        return held is not None and held.given + rows <= held.ready

    def next_block(self) -> Block | None:
        """The next block to put together, where all of its units have arrived."""
        if not self._planned:
            if self._last + 1 >= len(self.lane.units):
                return None
            self._plan()
        block = self._planned[0]
        units = range(block.first, block.index + 1)
        there = all(self._is_there(u, rows) for u, rows in zip(units, block.takes, strict=True) if rows)
        return self._planned.popleft() if there else None

    def put_together(self, block: Block) -> tuple[Slots, Any, Slots]:
        """The rows of a block: their slots, their other columns, and slots of rows given before we began."""
        taken = []
        for unit, rows in enumerate(block.takes, block.first):
            if rows:
                taken.append(self._held[unit].take(rows))
            if unit in self._held and self._held[unit].given == self.lane.sizes[unit]:
                del self._held[unit]
        place = self.lane.place(block)
        skipped = max(0, self._start - block.start)
        slots = np.concatenate([slots for slots, _ in taken])[place]
        ragged = None
        if taken[0][1] is not None:
            ragged = pa.concat_tables([part for _, part in taken]).take(place[skipped:]).combine_chunks()
        return slots[skipped:], ragged, slots[:skipped]

    def queue(self, slots: Slots, ragged: Any) -> None:
        """Rows in their final order, after those that wait."""
        if len(slots):
            self._queue.append((slots, ragged))
            self.queued += len(slots)

    def take(self, rows: int) -> list[tuple[Slots, Any]]:
        """The next rows."""
        self.queued -= rows
        taken = []
        while rows:
            slots, ragged = self._queue.popleft()
            if len(slots) > rows:
                rest = None if ragged is None else ragged.slice(rows)
                self._queue.appendleft((slots[rows:], rest))
                slots, ragged = slots[:rows], None if ragged is None else ragged.slice(0, rows)
            taken.append((slots, ragged))
            rows -= len(slots)
        return taken


def _first_reads(begun: Block, sizes: list[int], *, in_parts: bool) -> list[Read]:
    """What the units that are open when we begin have still to give.

    ``in_parts``: what the first block needs of each, and the rest behind: the first batch is there sooner.
    """
    units = range(begun.first, begun.index + 1)
    open_units = list(zip(units, begun.given, begun.takes, strict=True))
    if not in_parts:
        return [Read(unit, given, sizes[unit]) for unit, given, _ in open_units if given < sizes[unit]]
    soon = [Read(unit, given, given + taken) for unit, given, taken in open_units if taken]
    rest = [Read(unit, given + taken, sizes[unit]) for unit, given, taken in open_units]
    return [*soon, *(read for read in rest if read.rows)]


def copied(table: Any) -> Any:
    """A table in memory of its own, in one chunk: what it was cut from can be let go."""
    return table.take(np.arange(table.num_rows)).combine_chunks()
