"""Keep some columns."""

from __future__ import annotations

from typing import Annotated

from orrery.data.table import Table
from orrery.flow.operator import Column, operator


@operator(lazy=True)
def select(table: Table, *, columns: Annotated[list[str], Column("table")]) -> Table:
    """Keep these columns, in this order.

    Args:
        table: The rows.
        columns: The names of the columns to keep.
    """
    return table.select(*columns)
