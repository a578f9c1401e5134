"""The order of an epoch, by arithmetic alone: no data is read, no random state is carried on.

The groups of rows (row groups of Parquet, slices of a cache) are permuted and laid end to end: the *line*. It
is cut into *lanes*; each owns fixed columns of every global batch, whatever the number of workers. A lane
reads its groups in *units*. When unit t has arrived, *block* t is delivered: some rows of every unit that is
still open, mixed by a permutation. How many of which unit is arithmetic on the units' sizes, so that a lane
never holds more than ``hold`` rows. Every permutation is drawn from Philox (Salmon and others, *Parallel
Random Numbers: As Easy as 1, 2, 3*, SC 2011), keyed by seed and epoch and counted by lane and block.

A batch is lane-major; worker r of W takes columns ⌊r·g/W⌋ … ⌊(r+1)·g/W⌋ of the g rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 2
"""Of this order. A state of another version is refused."""

_WORD = 0xFFFF_FFFF_FFFF_FFFF
_GROUPS, _UNIT, _BLOCK = 1, 2, 3  # what is drawn
_TRICKLE = 16  # while the buffer fills, a block has one row of so many that arrived
_SOON = 4  # batches of which the first unit of a lane has all rows: the first batch waits for no more
_LEAST_UNITS, _MOST_UNITS = 2, 32  # that fit into ``hold``


def draw(seed: int, epoch: int, *place: int) -> np.random.Generator:
    """Random numbers that depend on seed, epoch and place (at most three numbers), and on nothing else."""
    key = np.array([seed & _WORD, epoch & _WORD], np.uint64)
    counter = np.array([0, *(n & _WORD for n in place), *[0] * (3 - len(place))], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


@dataclass(frozen=True)
class Order:
    """Which row comes when, in every epoch.

    ``rows`` of each group; ``size`` of a global batch; ``hold``: rows that one lane holds at most.

    >>> order = Order((5, 5), size=4, lanes=2, hold=8, seed=0)
    >>> order.batches, order.length(0), order.length(2)
    (3, 4, 2)
    """

    rows: tuple[int, ...]
    size: int
    lanes: int
    hold: int
    seed: int
    shuffle: bool = True
    drop_last: bool = False

    @cached_property
    def total(self) -> int:
        """Rows in all groups."""
        return sum(self.rows)

    @property
    def batches(self) -> int:
        """Global batches of an epoch; the last may be short."""
        return self.total // self.size if self.drop_last else -(-self.total // self.size)

    def length(self, batch: int) -> int:
        """Rows of a global batch."""
        return min(self.size, self.total - batch * self.size)

    def columns(self, lane: int, length: int) -> tuple[int, int]:
        """Which places of a batch of so many rows a lane owns."""
        return lane * length // self.lanes, (lane + 1) * length // self.lanes

    def width(self, lane: int, length: int) -> int:
        """How many rows of such a batch a lane gives."""
        low, high = self.columns(lane, length)
        return high - low

    def position(self, lane: int, batch: int) -> int:
        """How many rows a lane has given before a batch."""
        full, short = divmod(self.total, self.size)
        before = min(batch, full) * self.width(lane, self.size)
        return before + (self.width(lane, short) if batch > full else 0)

    def lanes_of(self, rank: int, world: int) -> list[int]:
        """The lanes of which a worker takes rows."""
        low, high = rank * self.lanes, (rank + 1) * self.lanes
        return [lane for lane in range(self.lanes) if lane * world < high and (lane + 1) * world > low]

    def lane(self, epoch: int, number: int) -> Lane:
        """What one lane reads in an epoch."""
        rows = np.asarray(self.rows, np.int64)
        groups = np.arange(len(rows))
        if self.shuffle:
            groups = draw(self.seed, epoch, _GROUPS).permutation(len(rows))
        ends = np.cumsum(rows[groups])
        low = sum(self._rows_of(lane) for lane in range(number))
        return Lane.cut(self, epoch, number, groups, ends, (low, low + self._rows_of(number)))

    def _rows_of(self, lane: int) -> int:
        return self.position(lane, -(-self.total // self.size))


@dataclass(frozen=True)
class Piece:
    """Rows ``start`` to ``stop`` of a group."""

    group: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.stop - self.start

    def split(self, rows: int) -> tuple[Piece, Piece]:
        """The first rows, and the others."""
        at = self.start + rows
        return Piece(self.group, self.start, at), Piece(self.group, at, self.stop)


@dataclass(frozen=True)
class Lane:
    """The units of a lane in the order in which they are read."""

    order: Order
    epoch: int
    number: int
    units: tuple[tuple[Piece, ...], ...]
    soon: int = 0
    """Rows that the first block has at least."""

    @classmethod
    def cut(
        cls,
        order: Order,
        epoch: int,
        number: int,
        groups: NDArray[Any],
        ends: NDArray[Any],
        span: tuple[int, int],
    ) -> Lane:
        """The lane that owns a span of the line."""
        low, high = span
        pieces: list[Piece] = []
        first = int(np.searchsorted(ends, low, "right"))
        for i in range(first, len(groups)):
            begin = int(ends[i - 1]) if i else 0
            if begin >= high:
                break
            start, stop = max(low, begin) - begin, min(high, int(ends[i])) - begin
            if stop > start:
                pieces.append(Piece(int(groups[i]), start, stop))
        least, most = max(1, order.hold // _MOST_UNITS), max(1, order.hold // _LEAST_UNITS)
        begun = _SOON * order.width(number, order.size)
        if order.shuffle and pieces and 0 < begun <= min(most, pieces[0].rows // 2):
            head, pieces[0] = pieces[0].split(begun)
            return cls(order, epoch, number, ((head,), *_bundled(pieces, least, most)), -(-begun // 2))
        return cls(order, epoch, number, tuple(_bundled(pieces, least, most)))

    @cached_property
    def sizes(self) -> list[int]:
        """Rows of each unit."""
        return [sum(piece.rows for piece in unit) for unit in self.units]

    def blocks(self) -> Iterator[Block]:
        """What is delivered after each unit."""
        return schedule(self.sizes, self.order.hold if self.order.shuffle else 0, self.soon)

    def mixed(self, unit: int) -> NDArray[np.int64]:
        """The order in which a unit gives its rows."""
        return self._permutation(_UNIT, unit, self.sizes[unit])

    def place(self, block: Block) -> NDArray[np.int64]:
        """The order of a block: of the rows that its units gave, one unit after the other."""
        return self._permutation(_BLOCK, block.index, block.rows)

    def _permutation(self, what: int, index: int, rows: int) -> NDArray[np.int64]:
        if not self.order.shuffle:
            return np.arange(rows, dtype=np.int64)
        return draw(self.order.seed, self.epoch, what, self.number, index).permutation(rows)


@dataclass(frozen=True)
class Block:
    """Rows that are delivered together: ``takes[i]`` of unit ``first + i``; of others, none."""

    index: int
    start: int
    """How many rows the lane gave before."""
    first: int
    takes: tuple[int, ...]
    given: tuple[int, ...]
    """What each of these units had given before."""

    @property
    def rows(self) -> int:
        """How many."""
        return sum(self.takes)


def schedule(sizes: Sequence[int], hold: int, soon: int = 0) -> Iterator[Block]:
    """Block t follows the arrival of unit t, and leaves room for the next; the last takes what is left.

    While the buffer fills, blocks are small, so that the first batch is there soon; the first has ``soon``
    rows or more. Then each takes the more of a unit the older it is: of a unit's rows, falling shares over
    some 3 M blocks, where M units fit into ``hold``. That is the flattest mix which memory allows: the
    spread of rows over blocks with the least sum of squares, when mean delay is M, falls linearly;
    E = 2.25 M, a shuffle buffer's is 2 M.
    """
    start, first = 0, 0
    left: list[int] = []  # of units from ``first`` on
    open_for = max(1, 3 * hold * max(len(sizes), 1) // max(sum(sizes), 1) - 1)
    for t, size in enumerate(sizes):
        left.append(size)
        if t + 1 < len(sizes) and hold:
            least = max(-(-size // _TRICKLE), 0 if t else soon)
            takes = _shares(left, max(sum(left) + sizes[t + 1] - hold, least), open_for)
        else:
            takes = list(left)
        given = tuple(sizes[first + i] - rest for i, rest in enumerate(left))
        yield Block(t, start, first, tuple(takes), given)
        start += sum(takes)
        left = [rest - taken for rest, taken in zip(left, takes, strict=True)]
        while left and not left[0]:
            del left[0]
            first += 1


def _shares(left: list[int], wanted: int, open_for: int) -> list[int]:
    """How many rows of each unit, ``wanted`` in all; whole numbers only, so that machines agree."""
    wanted = min(wanted, sum(left))
    ages = range(len(left) - 1, -1, -1)
    weights = [(rest << 20) // (max(open_for - age, 1) + 1) for rest, age in zip(left, ages, strict=True)]
    takes = [rest if age >= open_for else 0 for rest, age in zip(left, ages, strict=True)]
    missing = wanted - sum(takes)
    weights = [0 if taken else weight for weight, taken in zip(weights, takes, strict=True)]
    if missing > 0 and (total := sum(weights)):
        before = 0
        for i, weight in enumerate(weights):
            if weight:
                after = before + weight
                takes[i] = min(left[i], after * missing // total - before * missing // total)
                before = after
    missing = wanted - sum(takes)
    for i, rest in enumerate(left):  # what rounding and limits left over
        more = min(rest - takes[i], max(missing, 0))
        takes[i], missing = takes[i] + more, missing - more
    return takes


def _bundled(pieces: Sequence[Piece], least: int, most: int) -> Iterator[tuple[Piece, ...]]:
    """Units of about ``least`` to ``most`` rows: small pieces together, large ones cut."""
    waiting: list[Piece] = []
    held = 0
    for piece in pieces:
        if held and held + piece.rows > most:
            yield tuple(waiting)
            waiting, held = [], 0
        parts = -(-piece.rows // most)
        for i in range(parts):
            start, stop = piece.start + piece.rows * i // parts, piece.start + piece.rows * (i + 1) // parts
            waiting.append(Piece(piece.group, start, stop))
            held += stop - start
            if held >= least:
                yield tuple(waiting)
                waiting, held = [], 0
    if waiting:
        yield tuple(waiting)
