"""Transform a table by SQL."""

from __future__ import annotations

from orrery.data.table import Table
from orrery.flow.operator import operator


@operator(lazy=True)
def sql(table: Table, *, query: str) -> Table:
    """Transform a table by an SQL query, in which it is called ``this``.

    Args:
        table: The rows.
        query: For example: select city, avg(price) as price from this group by city.
    """
    return table.sql(query)
