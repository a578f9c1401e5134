"""Leave out some columns."""

from __future__ import annotations

from typing import Annotated

from orrery.data.table import Table
from orrery.flow.operator import Column, operator


@operator(lazy=True)
def without(table: Table, *, columns: Annotated[list[str], Column("table")]) -> Table:
    """Leave out these columns.

    Args:
        table: The rows.
        columns: The names of the columns to leave out.
    """
    return table.without(*columns)
