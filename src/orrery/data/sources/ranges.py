"""Parts of a query by ranges of one column, its key: half-open, so that no row is lost and none is doubled.

Rows come by part, and within a part by key, so that the whole is in the order of the key however it is cut.
Rows without a key are a part of their own, the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa

from orrery.data.source import Partition

Ask = Callable[[str], Sequence[Sequence[Any]]]
"""Asks the database a query; gives its rows."""


class Key(NamedTuple):
    """The column by which a query is cut and ordered."""

    name: str
    whole: bool
    """Whether it holds whole numbers, which can be cut evenly."""
    unique: bool
    """Whether the database keeps it filled and unique; else it is not known."""


def is_key(kind: Any) -> bool:
    """Whether a column of this Arrow type can be a key: whole numbers, decimals, texts, dates, times."""
    tests = (pa.types.is_integer, pa.types.is_decimal, pa.types.is_string, pa.types.is_date)
    return any(test(kind) for test in (*tests, pa.types.is_timestamp))


def partitions(key: Key, cuts: Sequence[Any]) -> list[Partition]:
    """One part more than cuts, and one for the rows without a key where there may be such.

    >>> [dict(p.where) for p in partitions(Key("id", True, False), [10])][1:]
    [{'key': 'id', 'from': 10, 'below': None}, {'key': 'id', 'missing': True}]
    """
    found: list[dict[str, Any]] = [
        {"key": key.name, "from": low, "below": high} for low, high in pairwise([None, *cuts, None])
    ]
    if not key.unique:
        found.append({"key": key.name, "missing": True})
    return [Partition(i, where) for i, where in enumerate(found)]


def conditions(where: Mapping[str, Any], column: str, literal: Callable[[Any], str]) -> list[str]:
    """What the database is asked for one part; ``column`` is the key as it writes it.

    >>> conditions({"key": "id", "from": 3, "below": 7}, "id", str)
    ['id >= 3', 'id < 7']
    """
    if "key" not in where:
        return []
    if where.get("missing"):
        return [f"{column} is null"]
    low, high = where["from"], where["below"]
    found = [f"{column} >= {literal(low)}"] if low is not None else []
    found += [f"{column} < {literal(high)}"] if high is not None else []
    return found or [f"{column} is not null"]


def even(low: int, high: int, parts: int) -> list[int]:
    """Cuts of the whole numbers from ``low`` to ``high`` into parts of equal width; fewer if they are few.

    >>> even(0, 99, 4), even(5, 6, 4), even(5, 5, 4)
    ([25, 50, 75], [6], [])
    """
    width = high - low + 1
    return sorted({low + i * width // parts for i in range(1, parts)} - {low})


def find_cuts(ask: Ask, rows: str, column: str, whole: bool, parts: int) -> list[Any]:
    """Where to cut a query into parts of about equal size.

    Whole numbers that fill at least half of their range are cut evenly: no part is then more than twice its
    share. Of any other key the database counts off equal parts.
    """
    if parts == 1:
        return []
    least, most, keys = ask(f"select min({column}), max({column}), count({column}) from ({rows}) this")[0]
    if not keys:
        return []
    if whole and keys * 2 >= int(most) - int(least) + 1:
        return even(int(least), int(most), parts)
    counted = (
        f"select {column} as k, ntile({parts}) over (order by {column}) as part "
        f"from ({rows}) this where {column} is not null"
    )
    starts = [start for (start,) in ask(f"select min(k) from ({counted}) this group by part order by 1")]
    return [cut for cut, before in zip(starts[1:], starts, strict=False) if cut != before]


def chosen(bounds: Sequence[Any], parts: int) -> list[Any]:
    """Cuts from bounds between which a database's statistics say that equally many rows lie.

    >>> chosen([0, 10, 20, 30, 40, 50, 60, 70, 80], 4)
    [20, 40, 60]
    """
    steps = len(bounds) - 1
    found = [bounds[round(i * steps / parts)] for i in range(1, parts)]
    return [cut for cut, before in zip(found, [bounds[0], *found], strict=False) if cut != before]
