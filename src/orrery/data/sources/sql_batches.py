"""Rows of values as record batches, few at a time where rows are large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch

Rows = list[tuple[Any, ...]]

_ROWS = 8_192
_BYTES = 64 << 20
_FIRST = 64  # rows, until it is known how large they are


def batches(
    fetch: Callable[[int], Rows], make: Callable[[Rows], tuple[RecordBatch, int]]
) -> Iterator[RecordBatch]:
    """What ``make`` makes of the rows that ``fetch`` gives, with its size in bytes; at most 64 MiB each.

    Only where rows grow by far from one batch to the next can a batch be larger.
    """
    rows = _FIRST
    while found := fetch(rows):
        batch, size = make(found)
        rows = max(1, min(_ROWS, _BYTES * len(found) // max(size, 1)))
        yield batch


def bare(rows: int) -> RecordBatch:
    """A batch of so many rows, without columns."""
    return pa.record_batch({"": pa.nulls(rows)}).select([])
