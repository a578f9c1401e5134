"""Put tables under each other."""

from __future__ import annotations

import functools

from orrery.data.table import Table
from orrery.flow.operator import operator


@operator(lazy=True)
def union(tables: list[Table]) -> Table:
    """Put tables of the same columns under each other.

    Args:
        tables: Tables with the same columns.
    """
    return functools.reduce(lambda above, below: above.union(below), tables)
