"""Which rows each worker reads: contiguous stretches of the source, by rows and not by files.

What the workers read, one after the other, is the table's own order; so rows have the same numbers whatever
the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orrery.aggregate import RecordBatch
from orrery.data.pipeline import Pipeline, build
from orrery.data.rowwise import is_rowwise, learn_cuts
from orrery.data.source import Partition, Source
from orrery.data.table import Table
from orrery.schema import Schema


@dataclass(frozen=True)
class Stretch:
    """Some rows of one partition: ``rows`` from row ``start`` on, or all that follow."""

    partition: Partition
    start: int = 0
    rows: int | None = None


class Stretches:
    """Some stretches of a source, as a source: what one worker reads."""

    def __init__(self, source: Source, where: str | None, stretches: Sequence[Stretch]) -> None:
        self.source = source
        self.where = where
        self.stretches = tuple(stretches)

    def schema(self) -> Schema:
        """The columns."""
        return self.source.schema()

    def partitions(self) -> Sequence[Partition]:
        """One for each stretch."""
        return [Partition(i, rows=stretch.rows) for i, stretch in enumerate(self.stretches)]

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """The stretch's rows. The condition is the one that the stretches were counted with."""
        stretch = self.stretches[partition.index]
        batches = self.source.read(stretch.partition, columns, self.where, stretch.start + start)
        left = None if stretch.rows is None else stretch.rows - start
        for batch in batches:
            if left is None:
                yield batch
                continue
            if left <= 0:
                return
            yield batch.slice(0, left)
            left -= batch.num_rows

    def fingerprint(self) -> str:
        """That of the whole."""
        return self.source.fingerprint()

    def to_dict(self) -> dict[str, Any]:
        """That of the whole."""
        return self.source.to_dict()


def deal(table: Table, workers: int) -> list[Table]:
    """The part of the table that each worker reads; together, in order, they are the table.

    Where a step needs to see all rows (a query, a sample), the first reads everything.
    """
    pipeline = build(table.source, table.steps)
    learn_cuts(pipeline)
    parts = list(pipeline.source.partitions())
    if is_rowwise(pipeline):
        return [_part(pipeline, own) for own in _deal(pipeline, parts, workers)]
    return [table, *(_part(pipeline, []) for _ in range(max(1, workers - 1)))]


def own_part(parts: Sequence[Table], rank: int, workers: int) -> Table:
    """What one of so many workers reads, of a table that was dealt in at least as many parts.

    Those whose rank is beyond them read nothing.
    """
    first, last = len(parts) * rank // workers, len(parts) * (rank + 1) // workers
    own = list(parts[first:last]) if rank < workers else []
    if own and not isinstance(own[0].source, Stretches):  # it reads everything
        return own[0]
    like = parts[-1].source
    assert isinstance(like, Stretches)
    stretches = [s for part in own if isinstance(part.source, Stretches) for s in part.source.stretches]
    return Table(Stretches(like.source, like.where, _joined(stretches)), parts[-1].steps)


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The same rows; those that follow each other are read at once."""
    found: list[Stretch] = []
    for each in stretches:
        before = found[-1] if found else None
        if (
            before is not None
            and before.rows is not None
            and each.rows is not None
            and before.partition == each.partition
            and before.start + before.rows == each.start
        ):
            found[-1] = replace(before, rows=before.rows + each.rows)
        else:
            found.append(each)
    return found


def _part(pipeline: Pipeline, own: Sequence[Stretch]) -> Table:
    return Table(Stretches(pipeline.source, pipeline.where, own), pipeline.steps)


def _deal(pipeline: Pipeline, parts: Sequence[Partition], workers: int) -> list[list[Stretch]]:
    known = pipeline.where is None and all(part.rows is not None for part in parts)
    if known:
        return cut([part.rows or 0 for part in parts], parts, workers)
    if len(parts) >= 4 * workers:  # many small ones: whole, by size where it is known
        sizes = [part.size_bytes or 1 for part in parts]
        owners = _owners(sizes, workers)
        return [[Stretch(p) for p, o in zip(parts, owners, strict=True) if o == w] for w in range(workers)]
    counts = [_count(pipeline, part) for part in parts]
    return cut(counts, parts, workers)


def _count(pipeline: Pipeline, part: Partition) -> int:
    return sum(batch.num_rows for batch in pipeline.source.read(part, [], pipeline.where))


def _owners(sizes: Sequence[int], workers: int) -> list[int]:
    total, before, owners = max(sum(sizes), 1), 0, []
    for size in sizes:
        owners.append(min(workers - 1, (2 * before + size) * workers // (2 * total)))
        before += size
    return owners


def cut(rows: Sequence[int], parts: Sequence[Partition], workers: int) -> list[list[Stretch]]:
    """Stretches of equal numbers of rows, to one row, for each worker.

    >>> parts = [Partition(0), Partition(1)]
    >>> [[(s.partition.index, s.start, s.rows) for s in own] for own in cut([5, 2], parts, 3)]
    [[(0, 0, 2)], [(0, 2, 2)], [(0, 4, 1), (1, 0, 2)]]
    """
    total = sum(rows)
    dealt: list[list[Stretch]] = []
    for worker in range(workers):
        low, high = total * worker // workers, total * (worker + 1) // workers
        own, before = [], 0
        for part, count in zip(parts, rows, strict=True):
            first, last = max(low, before), min(high, before + count)
            if first < last:
                own.append(Stretch(part, first - before, last - first))
            before += count
        dealt.append(own)
    return dealt
