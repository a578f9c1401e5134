"""Take some rows by chance."""

from __future__ import annotations

from orrery.data.table import Table
from orrery.flow.operator import operator


@operator(lazy=True)
def sample(table: Table, *, rows: int | None = None, share: float | None = None, seed: int = 0) -> Table:
    """Take some rows by chance; the same ones each time.

    Args:
        table: The rows.
        rows: How many.
        share: Or which share of them, from 0 to 1.
        seed: Another seed takes other rows.
    """
    return table.sample(rows=rows, share=share, seed=seed)
