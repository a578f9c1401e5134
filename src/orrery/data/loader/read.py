"""Groups of rows that can be read one by one, in any order: what the order is made of.

A source whose parts know their rows is read in place. Any other (a query, steps that leave rows out, parts of
unknown size) is first written to a cache, once; see ``cache``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.data.loader.columns import Layout
from orrery.data.loader.order import Piece
from orrery.data.source import Partition, Source
from orrery.data.sources.memory import Memory
from orrery.errors import SourceError

SLICE_BYTES = 128 << 10
"""Of a slice of rows where any can be reached at once: in memory, or in a cache."""

_LEAST_ROWS, _MOST_ROWS, _MOST_SLICES = 64, 1024, 1 << 16
_MOST_CURSORS = 16

Parts = Mapping[str, NDArray[Any]]
"""Key of a dense part -> its records."""


class Groups(Protocol):
    """Groups of rows, numbered."""

    @property
    def rows(self) -> tuple[int, ...]:
        """Of each group."""

    @property
    def origin(self) -> NDArray[np.int64]:
        """The row group of the data that each belongs to: what shuffling is measured by."""

    @property
    def again(self) -> bool:
        """Whether it costs little to read a piece twice, some rows first."""

    def load(self, piece: Piece, layout: Layout, out: Parts, places: NDArray[Any]) -> Any:
        """Write the dense columns of a piece to places of ``out``, rows whose place is below 0 nowhere.

        Gives the other columns, or None where there are none.
        """

    def ragged_bytes(self, names: Sequence[str]) -> float:
        """About how many bytes of memory a row takes in these columns: at least the mean of any group."""

    def close(self) -> None:
        """Close what is open; loading opens it again."""

    def drop(self) -> None:
        """Let go of what may be made again."""


class Cursor:
    """Batches that are read on from where the last piece ended."""

    def __init__(self, batches: Iterator[Any], at: int) -> None:
        self.batches = batches
        self.at = at
        self._waiting: list[Any] = []

    def take(self, rows: int, place: str) -> Iterator[Any]:
        """The next rows, as they come. Raises SourceError where there are fewer."""
        missing = rows
        while missing:
            batch = self._waiting.pop() if self._waiting else next(self.batches, None)
            if batch is None:
                raise SourceError(
                    f"{place} ended {missing} rows before the number that it told.",
                    hint="Was it changed while it was read?",
                )
            if batch.num_rows > missing:
                self._waiting.append(batch.slice(missing))
                batch = batch.slice(0, missing)
            yield batch
            missing -= batch.num_rows
        self.at += rows

    def close(self) -> None:
        """Give up the read."""
        self._waiting.clear()
        close = getattr(self.batches, "close", None)
        if close is not None:
            close()


class Cursors:
    """The reads that were left in the middle of a group, by group. Safe among threads."""

    def __init__(self) -> None:
        self._held: dict[int, Cursor] = {}
        self._lock = Lock()

    def pop(self, group: int, at: int) -> Cursor | None:
        """The read that stands at a row of a group."""
        with self._lock:
            found = self._held.get(group)
            return self._held.pop(group) if found is not None and found.at == at else None

    def keep(self, group: int, cursor: Cursor) -> None:
        """A read that may go on. The oldest is given up where there are too many."""
        with self._lock:
            old = [self._held.pop(group)] if group in self._held else []
            self._held[group] = cursor
            while len(self._held) > _MOST_CURSORS:
                old.append(self._held.pop(next(iter(self._held))))
        for left in old:
            left.close()

    def close(self) -> None:
        """Give all up."""
        with self._lock:
            held, self._held = list(self._held.values()), {}
        for cursor in held:
            cursor.close()


class SourceGroups:
    """The parts of any source that knows how many rows each has."""

    again = False

    def __init__(self, source: Source, partitions: Sequence[Partition]) -> None:
        self.source = source
        self.partitions = partitions
        self.rows = tuple(int(part.rows or 0) for part in partitions)
        self.origin = np.arange(len(partitions))
        self._cursors = Cursors()

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The number of each group's first row."""
        return starts(self.rows)

    def load(self, piece: Piece, layout: Layout, out: Parts, places: NDArray[Any]) -> Any:
        """As every ``Groups`` does."""
        table = self._table(piece, layout.names)
        return fill(table, layout, out, places, int(self.starts[piece.group]) + piece.start)

    def _table(self, piece: Piece, names: Sequence[str]) -> Any:
        cursor = self._cursors.pop(piece.group, piece.start)
        if cursor is None:
            part = self.partitions[piece.group]
            cursor = Cursor(iter(self.source.read(part, names, None, piece.start)), piece.start)
        try:
            taken = list(cursor.take(piece.rows, f"Part {piece.group} of {self.source!r}"))
        except BaseException:
            cursor.close()
            raise
        if cursor.at < self.rows[piece.group]:
            self._cursors.keep(piece.group, cursor)
        else:
            cursor.close()
        return pa.Table.from_batches(taken)

    def ragged_bytes(self, names: Sequence[str]) -> float:
        """From the sizes that the source tells, and from the first rows."""
        told = max(((p.size_bytes or 0) / max(p.rows or 0, 1) for p in self.partitions), default=0.0)
        first = next((group for group, rows in enumerate(self.rows) if rows), None)
        if first is None:
            return told
        piece = Piece(first, 0, min(self.rows[first], 1000))
        table = self._table(piece, names)
        self._cursors.close()
        return max(told, float(table.nbytes / piece.rows))

    def close(self) -> None:
        """Give up what was left in the middle."""
        self._cursors.close()

    def drop(self) -> None:
        """Nothing is kept."""


class MemoryGroups:
    """Rows in memory, in slices: any can be reached at once, so all are mixed with all."""

    again = True

    def __init__(self, source: Memory) -> None:
        self.table = source.table
        self.slice_rows = slice_rows(self.table.num_rows, self.table.nbytes)
        self.rows = cut(self.table.num_rows, self.slice_rows)
        self.origin = np.arange(len(self.rows))

    def load(self, piece: Piece, layout: Layout, out: Parts, places: NDArray[Any]) -> Any:
        """As every ``Groups`` does."""
        first = piece.group * self.slice_rows + piece.start
        table = self.table.slice(first, piece.rows).select(layout.names)
        return fill(table, layout, out, places, first)

    def ragged_bytes(self, names: Sequence[str]) -> float:
        """As they lie in memory."""
        return float(self.table.select(list(names)).nbytes / max(self.table.num_rows, 1))

    def close(self) -> None:
        """Nothing is open."""

    def drop(self) -> None:
        """Nothing is kept."""


def fill(table: Any, layout: Layout, out: Parts, places: NDArray[Any], first: int) -> Any:
    """Write a table's dense columns to places; give the others."""
    if table.schema.types != layout.schema.types:
        table = table.select(layout.names).cast(layout.schema)
    for part in layout.dense:
        part.fill(out[part.key], places, table, first)
    return layout.rest(table)


def slice_rows(rows: int, size_bytes: float) -> int:
    """Rows of a slice: about 128 KiB, and not too many slices."""
    wanted = int(SLICE_BYTES * rows // max(size_bytes, 1))
    return max(min(max(wanted, _LEAST_ROWS), _MOST_ROWS), -(-rows // _MOST_SLICES), 1)


def cut(rows: int, at: int) -> tuple[int, ...]:
    """The sizes of slices of ``at`` rows; the last may be short.

    >>> cut(5, 2)
    (2, 2, 1)
    """
    return tuple(min(at, rows - start) for start in range(0, rows, at))


def starts(rows: Sequence[int]) -> NDArray[np.int64]:
    """The number of each group's first row."""
    return np.cumsum([0, *rows], dtype=np.int64)[:-1]
