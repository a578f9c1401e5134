"""Keep the rows that fulfil a condition."""

from __future__ import annotations

from orrery.data.table import Table
from orrery.flow.operator import operator


@operator(lazy=True)
def where(table: Table, *, condition: str) -> Table:
    """Keep the rows that fulfil an SQL condition.

    Args:
        table: The rows.
        condition: For example: age >= 18 and city is not null.
    """
    return table.where(condition)
