"""Bring several tables together by SQL."""

from __future__ import annotations

from orrery.data.table import Table
from orrery.errors import SettingsError
from orrery.flow.operator import operator


@operator(lazy=True)
def join(
    table: Table, others: list[Table], *, query: str, names: list[str], dialect: str | None = None
) -> Table:
    """Bring several tables together by an SQL query, in which the first is called ``this``.

    Args:
        table: The rows.
        others: Other tables, in the order of their names.
        query: For example: select * from this join towns using (town).
        names: What the other tables are called in the query.
        dialect: The SQL that the query is written in: duckdb, postgres, mysql, sqlite, spark.
    """
    if len(names) != len(others):
        raise SettingsError(f"There are {len(others)} other tables and {len(names)} names for them.")
    return table.sql(query, dialect=dialect, **dict(zip(names, others, strict=True)))
