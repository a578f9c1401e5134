"""Streams of record batches: cut to size, start late, pick columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import conditions, sql

BATCH_ROWS = 65_536


def narrowed(
    batches: Iterator[RecordBatch],
    names: Sequence[str],
    columns: Sequence[str] | None,
    where: str | None,
    start: int = 0,
) -> Iterator[RecordBatch]:
    """What ``Source.read`` promises, for a place that only gives all of its rows.

    ``names`` are the place's columns. The batches must hold those of ``columns`` and of ``where``.
    """
    if where is not None:
        batches = sql.filtered(batches, conditions.parse(where, tuple(names)))
    if start:
        batches = skipped(batches, start)
    wanted = list(names if columns is None else columns)
    return (batch.select(wanted) for batch in batches)


def needed(names: Sequence[str], columns: Sequence[str] | None, where: str | None) -> list[str]:
    """The columns that must be read to give ``columns`` of the rows that pass ``where``."""
    wanted = list(names if columns is None else columns)
    if where is None:
        return wanted
    return list(dict.fromkeys([*wanted, *conditions.parse(where, tuple(names)).columns]))


def skipped(batches: Iterator[RecordBatch], rows: int) -> Iterator[RecordBatch]:
    """All but the first ``rows`` rows."""
    for batch in batches:
        if rows >= batch.num_rows:
            rows -= batch.num_rows
            continue
        yield batch.slice(rows)
        rows = 0


def resized(batches: Iterator[RecordBatch], rows: int) -> Iterator[RecordBatch]:
    """The same rows in batches of exactly ``rows``, but for the last.

    >>> [b.num_rows for b in resized(iter([pa.record_batch({"a": [1, 2, 3]})] * 3), 4)]
    [4, 4, 1]
    """
    waiting: list[Any] = []
    held = 0
    for batch in batches:
        start = 0
        while held + batch.num_rows - start >= rows:
            take = rows - held
            yield _joined([*waiting, batch.slice(start, take)])
            waiting, held, start = [], 0, start + take
        if start < batch.num_rows:
            waiting.append(batch.slice(start))
            held += batch.num_rows - start
    if held:
        yield _joined(waiting)


def _joined(batches: list[RecordBatch]) -> RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
