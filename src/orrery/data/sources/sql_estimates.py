"""What databases know of a query before it runs: their planner's rows, and the sizes that they keep."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlglot import exp

from orrery.data.source import Estimate
from orrery.errors import SourceError

Ask = Callable[..., Sequence[Sequence[Any]]]
"""Asks the database a query; gives its rows."""

_SIZES = (
    "select sum(pg_table_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace "
    "where n.nspname || '.' || c.relname = any(string_to_array(%s, chr(10)))"
)
_TABLE = (
    "select table_rows, data_length, avg_row_length from information_schema.tables "
    "where table_schema = {schema} and table_name = {name}"
)


def postgresql(ask: Ask, whole: str, asked: str) -> Estimate:
    """PostgreSQL's planner on all rows, and on those asked for; the size is that of the tables on disk."""
    before, after = _plan(ask, whole), _plan(ask, asked)
    names = "\n".join(sorted(set(_relations(before))))
    size = ask(_SIZES, names)[0][0] if names else None
    rows, left, width = before["Plan Rows"], after["Plan Rows"], after["Plan Width"]
    return Estimate(int(rows), None if size is None else int(size), int(left) * int(width))


def planned(ask: Ask, query: str) -> int:
    """Rows that PostgreSQL's planner expects of a query."""
    return int(_plan(ask, query)["Plan Rows"])


def _plan(ask: Ask, query: str) -> Mapping[str, Any]:
    told = ask(f"explain (verbose, format json) {query}")[0][0]
    plan: Mapping[str, Any] = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
    return plan


def _relations(plan: Mapping[str, Any]) -> Iterator[str]:
    """The tables that a plan reads."""
    if "Relation Name" in plan:
        yield f"{plan.get('Schema', 'public')}.{plan['Relation Name']}"
    for inner in plan.get("Plans", ()):
        yield from _relations(inner)


def mysql(ask: Ask, table: str, asked: str, row: Row) -> Estimate:
    """What MySQL and MariaDB keep of a table (``schema.table`` too), and their planner's rows."""
    schema, _, name = (str(exp.Literal.string(text).sql(dialect="mysql")) for text in table.rpartition("."))
    found = ask(_TABLE.format(schema=schema if "." in table else "database()", name=name))
    if not found or None in found[0]:  # a view
        return Estimate()
    rows, size, row_bytes = map(int, found[0])
    return Estimate(rows, size, int(min(rows, _passing(ask, asked)) * row.bytes_of(row_bytes)))


def _passing(ask: Ask, query: str) -> float:
    """How many rows the planner expects; MariaDB tells only where it is asked for more."""
    try:
        told = ask(f"explain extended {query}")[0]
    except SourceError:
        told = ask(f"explain {query}")[0]
    *_, rows, filtered, _ = told
    return math.inf if rows is None else float(rows) * float(filtered or 100) / 100


class Row(NamedTuple):
    """The Arrow types of a table's columns, and which of them are asked for."""

    types: Mapping[str, Any]
    wanted: Sequence[str]

    def bytes_of(self, row_bytes: int) -> float:
        """The part of a row of so many bytes; of texts and bytes each is taken to be as long as the next.

        >>> import pyarrow as pa
        >>> Row({"n": pa.int64(), "a": pa.string(), "b": pa.string()}, ["n", "b"]).bytes_of(48)
        28.0
        """
        sizes = {name: _fixed(kind) for name, kind in self.types.items()}
        texts = [name for name, size in sizes.items() if size is None]
        each = max(row_bytes - sum(size or 0 for size in sizes.values()), 0) / max(len(texts), 1)
        return float(sum(sizes[name] or each for name in self.wanted))


def _fixed(kind: Any) -> int | None:
    """Bytes of a value, where all have as many."""
    try:
        return -(-int(kind.bit_width) // 8)
    except ValueError:
        return None


OF: dict[str, Callable[[Ask, str, str, Row], Estimate]] = {"mysql": mysql}
"""Dialect -> what tells it of a table and of a query on it; of other databases nothing is known."""
