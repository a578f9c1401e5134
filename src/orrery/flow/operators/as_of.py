"""Add what was known of other rows at each row's time."""

from __future__ import annotations

from orrery.data.table import Table
from orrery.flow.operator import operator


@operator(lazy=True)
def as_of(
    table: Table,
    features: Table,
    *,
    on: str,
    by: list[str],
    tolerance: str | float | None = None,
    columns: list[str] | None = None,
) -> Table:
    """Add to each row the latest row of another table known at its time: never one of the future.

    Args:
        table: The rows.
        features: The rows to choose from.
        on: The column of times, in both tables.
        by: The columns that say what a row is about, in both tables.
        tolerance: How old a match may be: 7d, 12h, 30min; a number where the column of times is one.
        columns: The columns to add; all others of the second table, if not given.
    """
    return table.as_of(features, on=on, by=by, tolerance=tolerance, columns=columns)
