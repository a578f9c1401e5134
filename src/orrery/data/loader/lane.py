"""One lane while it is read: units arrive, blocks are put together, rows wait in their final order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from orrery.data.loader.arena import Slots
from orrery.data.loader.order import Block, Lane, Piece


@dataclass
class Held:
    """What a unit has still to give: slots, and the other columns, both in the order in which it gives."""

    slots: Slots
    ragged: Any = None
    given: int = 0
    cut: int = 0
    """Rows that ``ragged`` lacks at its beginning, as they were let go."""

    def take(self, rows: int) -> tuple[Slots, Any]:
        """The next rows. Once half of a unit is given, the memory of that half is let go."""
        low, self.given = self.given, self.given + rows
        slots = self.slots[low : self.given]
        if self.ragged is None:
            return slots, None
        taken = self.ragged.slice(low - self.cut, rows)
        rest = self.ragged.num_rows - (self.given - self.cut)
        if rest and rest * 2 <= self.ragged.num_rows:
            taken = copied(taken)
            self.ragged = copied(self.ragged.slice(self.given - self.cut))
            self.cut = self.given
        return slots, taken


class Feed:
    """A lane from some position on. Reading and putting together may each be done by one thread at a time."""

    def __init__(self, lane: Lane, position: int) -> None:
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
        self.unit = self._begun.first
        """The next to be read."""

    def _plan(self) -> None:
        block = next(self._blocks)
        self._planned.append(block)
        self._last, self._end = block.index, block.start + block.rows

    @property
    def pending(self) -> bool:
        """Whether there are units to be read."""
        return self.unit < len(self.lane.units) and (self._end > self._start or self._last < self.unit)

    def wanted_at(self) -> int:
        """The position of the lane at which the next unit is needed."""
        if self.unit <= self._begun.index:
            return self._start
        while self._last < self.unit - 1:
            self._plan()
        return self._end if self._last == self.unit - 1 else self._planned[-1].start

    def given(self, unit: int) -> int:
        """How many rows of a unit were given before we began."""
        place = unit - self._begun.first
        return self._begun.given[place] if place < len(self._begun.given) else 0

    def follows(self) -> bool:
        """Whether the next unit goes on in a group that a thread is reading now."""
        if (self.unit - 1) not in self._reading:
            return False
        before, now = self.lane.units[self.unit - 1], self.lane.units[self.unit]
        return before[-1].group == now[0].group

    def next_unit(self) -> tuple[int, tuple[Piece, ...]]:
        """The next to be read, which is then another."""
        self._reading.add(self.unit)
        self.unit += 1
        return self.unit - 1, self.lane.units[self.unit - 1]

    def arrive(self, unit: int, held: Held) -> None:
        """A unit was read."""
        self._reading.discard(unit)
        self._held[unit] = held

    def next_block(self) -> Block | None:
        """The next block to put together, where all of its units have arrived."""
        if not self._planned:
            if self._last + 1 >= len(self.lane.units):
                return None
            self._plan()
        block = self._planned[0]
        units = range(block.first, block.index + 1)
        there = all(u in self._held for u, rows in zip(units, block.takes, strict=True) if rows)
        return self._planned.popleft() if there and block.index in self._held else None

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
            ragged = copied(pa.concat_tables([part for _, part in taken]).take(place[skipped:]))
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


def copied(table: Any) -> Any:
    """A table in memory of its own, in one chunk: what it was cut from can be let go."""
    return table.take(np.arange(table.num_rows)).combine_chunks()
