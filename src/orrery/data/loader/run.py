"""One epoch under way: threads that read units and fill batches, bounded in bytes, no processes.

Which task is next depends on time; what each row's place is does not. Reads are begun strictly in the order
in which the batches need them, as soon as the arena has room; by the order's arithmetic it always will have.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.data.loader.arena import NOWHERE, Arena, Buffers, Slots
from orrery.data.loader.columns import Layout
from orrery.data.loader.lane import Feed, Read
from orrery.data.loader.order import Order
from orrery.data.loader.read import Groups

SLAB_BYTES = 2 << 20
"""Batches are filled so many at a time, several where they are small."""
JOIN_S = 0.8

Finish = Callable[[tuple[int, int], dict[str, NDArray[Any]], Any], Any]
"""Makes of a batch's epoch and number, its dense values by part and its other columns what the user gets."""


@dataclass(frozen=True)
class Plan:
    """What to run: the order, where the rows are, what becomes of them."""

    order: Order
    groups: Groups
    layout: Layout
    finish: Finish
    rank: int
    world: int
    threads: int
    prefetch_bytes: int
    batch_bytes: int
    """Of one batch of this worker, as it is handed out."""

    def share(self, length: int) -> tuple[int, int]:
        """This worker's places in a global batch of so many rows."""
        return self.rank * length // self.world, (self.rank + 1) * length // self.world

    @property
    def arena_rows(self) -> int:
        """Slots that this worker needs: what its lanes hold at most, and one batch."""
        order = self.order
        lanes = len(order.lanes_of(self.rank, self.world))
        return min(lanes * order.hold + order.size, order.total)


@dataclass(frozen=True)
class Slab:
    """Some batches that are filled by one task."""

    number: int
    batch: int
    batches: int
    length: int
    taken: list[tuple[int, list[tuple[Slots, Any]]]]
    """Lane, and its rows."""


class Run:
    """Batches of an epoch from some batch on. Iterate once; ``close`` at any moment."""

    def __init__(self, plan: Plan, arena: Arena, buffers: Buffers, epoch: int, batch: int) -> None:
        self.plan = plan
        self._arena = arena
        self._buffers = buffers
        lanes = plan.order.lanes_of(plan.rank, plan.world)
        in_parts = plan.groups.again and not plan.layout.ragged
        self._feeds = {
            n: Feed(plan.order.lane(epoch, n), plan.order.position(n, batch), in_parts=in_parts)
            for n in lanes
        }
        self._epoch = epoch
        self._batch = batch  # the next to be filled
        self._numbers = 0  # slabs begun
        self._out = 0  # slabs that are filled, or being so, and not yet taken
        self._active = 0  # tasks under way
        self._slabs: dict[int, list[Any]] = {}
        self._error: BaseException | None = None
        self._stop = False
        self._wake = threading.Condition()
        self._threads: list[threading.Thread] = []

    def __iter__(self) -> Iterator[Any]:
        """What ``finish`` made, batch by batch. The first error of a thread is raised at once."""
        number, batch = 0, self._batch
        for i in range(self.plan.threads):
            thread = threading.Thread(target=self._work, name=f"orrery-loader-{i}", daemon=True)
            self._threads.append(thread)
            thread.start()
        while batch < self.plan.order.batches:
            for made in self._slab(number):
                if self._error is not None:
                    raise self._error
                yield made
                batch += 1
            number += 1

    def close(self) -> bool:
        """Stop the threads and close the files. False where a thread still waits for a place far away."""
        with self._wake:
            self._stop = True
            self._wake.notify_all()
        until = time.monotonic() + JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.plan.groups.close()
        self._slabs.clear()
        return not any(thread.is_alive() for thread in self._threads)

    def _slab(self, number: int) -> list[Any]:
        with self._wake:
            while number not in self._slabs:
                if self._error is not None:
                    raise self._error
                self._wake.wait()
            self._out -= 1
            self._wake.notify_all()
            return self._slabs.pop(number)

    def _work(self) -> None:
        try:
            while True:
                with self._wake:
                    while (task := self._next()) is None:
                        if self._stop or self._batch >= self.plan.order.batches:
                            return
                        self._wake.wait()
                    self._active += 1
                task()
                with self._wake:
                    self._active -= 1
                    self._wake.notify_all()
        except BaseException as error:
            with self._wake:
                self._error = self._error or error
                self._stop = True
                self._wake.notify_all()

    def _next(self) -> Callable[[], None] | None:
        """What a thread can do now."""
        if self._stop:
            return None
        slab = self._next_slab()
        if slab is not None:
            return lambda: self._fill(slab)
        read = self._next_read()
        if read is None and not self._active and not self._out and self._batch < self.plan.order.batches:
            raise RuntimeError("The loader waits for itself; this is a fault of Orrery.")
        return read

    def _next_slab(self) -> Slab | None:
        """Batches all rows of which are there, as long as few enough wait to be taken."""
        order = self.plan.order
        slab_bytes = max(min(SLAB_BYTES, self.plan.prefetch_bytes // 4), self.plan.batch_bytes)
        if self._batch >= order.batches or (self._out + 1) * slab_bytes > max(
            self.plan.prefetch_bytes, 2 * slab_bytes
        ):
            return None
        length = order.length(self._batch)
        most = min(slab_bytes // max(self.plan.batch_bytes, 1), 1 << min(self._numbers, 8))
        most = max(1, min(most, order.total // order.size - self._batch))
        widths = {n: order.width(n, length) for n in self._feeds}
        most = min([most, *(feed.queued // widths[n] for n, feed in self._feeds.items() if widths[n])])
        if not most:
            return None
        taken = [(n, feed.take(most * widths[n])) for n, feed in self._feeds.items()]
        slab = Slab(self._numbers, self._batch, most, length, taken)
        self._numbers, self._out, self._batch = self._numbers + 1, self._out + 1, self._batch + most
        return slab

    def _next_read(self) -> Callable[[], None] | None:
        """The unit that is needed first, if there is room for its rows."""
        order = self.plan.order
        soonest = None
        for number, feed in self._feeds.items():
            if feed.pending:
                width = order.width(number, order.size)
                at = feed.wanted_at() // width if width else order.batches
                soonest = min(soonest or (at, number), (at, number))
        if soonest is None or self._feeds[soonest[1]].follows():
            return None
        feed = self._feeds[soonest[1]]
        slots = self._arena.take(feed.next_read().rows)
        if slots is None:
            return None
        read = feed.begin()
        return lambda: self._read(feed, read, slots)

    def _read(self, feed: Feed, read: Read, slots: Slots) -> None:
        """Read rows of a unit to their slots; its other rows go nowhere."""
        mixed = feed.lane.mixed(read.unit)
        chosen, places = mixed[read.low : read.high], slots
        if len(chosen) < len(mixed):
            places = np.full(len(mixed), NOWHERE, np.int32)
            places[np.sort(chosen)] = slots
        done, rest = 0, []
        for piece in feed.lane.units[read.unit]:
            to = places[done : done + piece.rows]
            done += piece.rows
            if self.plan.layout.ragged or to.max() >= 0:
                rest.append(self.plan.groups.load(piece, self.plan.layout, self._arena.parts, to))
        ragged = None
        if self.plan.layout.ragged:
            ragged = pa.concat_tables(rest).take(chosen).combine_chunks()
        with self._wake:
            feed.arrive(read, places[chosen], ragged)
            if feed.busy:
                return
            feed.busy = True
        self._put_together(feed)

    def _put_together(self, feed: Feed) -> None:
        while True:
            with self._wake:
                block = feed.next_block()
                if block is None:
                    feed.busy = False
                    return
            slots, ragged, gone = feed.put_together(block)
            with self._wake:
                self._arena.give(gone)
                feed.queue(slots, ragged)
                self._wake.notify_all()

    def _fill(self, slab: Slab) -> None:
        """Bring rows from their slots to batches, lane by lane within each batch."""
        order, layout = self.plan.order, self.plan.layout
        low, high = self.plan.share(slab.length)
        places = np.empty((slab.batches, high - low), np.int32)
        ragged: list[list[Any]] = [[] for _ in range(slab.batches)]
        for number, taken in slab.taken:
            first, last = order.columns(number, slab.length)
            begin, end = max(first, low), min(last, high)
            if taken and end > begin:
                slots = np.concatenate([slots for slots, _ in taken]).reshape(slab.batches, last - first)
                places[:, begin - low : end - low] = slots[:, begin - first : end - first]
                if layout.ragged:
                    table = pa.concat_tables([part for _, part in taken])
                    for b, parts in enumerate(ragged):
                        parts.append(table.slice(b * (last - first) + begin - first, end - begin))
        values = self._gather(places.reshape(-1))
        with self._wake:
            for _, taken in slab.taken:
                for slots, _ in taken:
                    self._arena.give(slots)
            self._wake.notify_all()
        made, width = [], high - low
        for b in range(slab.batches):
            dense = {key: value[b * width : (b + 1) * width] for key, value in values.items()}
            rest = pa.concat_tables(ragged[b]) if ragged[b] else None
            made.append(self.plan.finish((self._epoch, slab.batch + b), dense, rest))
        with self._wake:
            self._slabs[slab.number] = made
            self._wake.notify_all()

    def _gather(self, places: Slots) -> dict[str, NDArray[Any]]:
        values = {}
        for part in self.plan.layout.dense:
            with self._wake:
                data = self._buffers.get(len(places) * part.row_bytes)
            np.take(self._arena.parts[part.key], places, out=data.view(part.record), mode="clip")
            values[part.key] = data.view(part.dtype).reshape(len(places), *part.shape)
        return values
