"""From rows to blocks: one pass over a table, each row encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.data.rowhash import row_hashes
from orrery.data.table import Table
from orrery.errors import BadRowError, EmptyTableError, SettingsError, UnknownColumnError
from orrery.features.feature import Output, Role
from orrery.features.forms import Form, lift
from orrery.features.plan import FeaturePlan
from orrery.features.target import Target
from orrery.training.blocks import Batch, BlockStore
from orrery.training.numbering import renumber

MEMORY_BYTES = 512 << 20
"""Encoded rows beyond this lie in an unnamed scratch file, mapped into memory."""

_CHUNK_BYTES = 32 << 20  # of encoded rows made at a time


def encode(
    plan: FeaturePlan,
    target: Target,
    table: Table,
    weight: str | None,
    memory_bytes: int,
    *,
    training: bool,
    needed: bool = True,
) -> tuple[Batch, NDArray[np.uint64]]:
    """All rows of a table, and a hash of each. Raises EmptyTableError where rows are ``needed``.

    ``training``: these are the rows that the features were learnt from. The row of a BadRowError counts in
    the table that the user gave, of which this may be a part.
    """
    columns = list(dict.fromkeys([*plan.inputs, target.name, *([weight] if weight else [])]))
    for name in columns:
        if name not in table.schema:
            raise UnknownColumnError(name, table.schema.names)
    store = BlockStore(plan.outputs, memory_bytes)
    hashes, values, weights, done = [], [], [], 0

    def add(batch: Any) -> None:
        hashes.append(row_hashes(batch, columns))
        values.append(target.encode(batch.column(target.name)))
        if weight:
            weights.append(_weights(batch.column(weight), weight))
        store.append(plan.encode(batch, training=training, start=done))

    for batch in table.batches(_rows_at_a_time(plan.outputs), columns=columns):
        try:
            add(batch)
        except BadRowError as error:
            renumber(error, table)
            raise
        done += batch.num_rows
    if not done and needed:
        raise EmptyTableError(
            "There are no rows to learn from." if training else "There are no rows to validate on.",
            hint="Check the query, the file or the split that gave this table.",
        )
    if not done:
        add(table.select(columns).empty())
    joined = np.concatenate(values)
    rows = np.arange(len(joined), dtype=np.int64)
    whole = Batch(store.finish(), joined, np.concatenate(weights) if weight else None, rows)
    return whole, np.concatenate(hashes)


def _rows_at_a_time(outputs: Sequence[Output]) -> int:
    """How many rows to encode at once, so that a chunk of pictures is no larger than one of numbers."""
    row_bytes = 0
    for output in outputs:
        values = 64 if output.role is Role.BAG else max(output.width, int(np.prod(output.shape or (1,))))
        row_bytes += values * (np.dtype(output.dtype).itemsize if output.role is Role.TENSOR else 8)
    return max(64, min(65_536, _CHUNK_BYTES // max(row_bytes, 1)))


def _weights(column: Any, name: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = lift(column, Form.FLOAT, name)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise SettingsError(
            f"The weight column {name!r} holds missing, infinite or negative values.",
            hint="A weight is a finite number of at least 0.",
        )
    return values
