"""What a query needs of its tables: the columns that it names, and the rows that its WHERE may let through.

The query itself stays as it is and is asked of less; so what is told here may be too much, never too little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlglot import exp

from orrery.data.conditions import Condition
from orrery.data.sql import check_query

_OPAQUE = (exp.Columns, exp.PositionalColumn, exp.Pivot, exp.Summarize)
"""What may read columns that it does not name."""
_BESIDE = ("", "NATURAL")
"""How tables are joined of which rows may be left out that do not pass; not so by place or by time."""


@dataclass(frozen=True)
class Need:
    """The columns of a table that a query reads, and the condition, if any, that its rows have to fulfil."""

    columns: tuple[str, ...]
    where: str | None = None


def needs(text: str, schemas: Mapping[str, Any]) -> dict[str, Need]:
    """For each table what the query needs of it; ``schemas`` are the tables' Arrow schemas.

    >>> columns = pa.schema({name: pa.int64() for name in "abcd"})
    >>> needs("select a from this where b < 5 and a > c", {"this": columns})
    {'this': Need(columns=('a', 'b', 'c'), where='("b" < 5)')}
    """
    tree = check_query(text)
    places = {name: _places(tree, name) for name in schemas}
    clear = not any(tree.find_all(*_OPAQUE)) and not any(_is_natural(j) for j in tree.find_all(exp.Join))
    return {
        name: Need(
            _columns(tree, places[name], schema) if clear else tuple(schema.names),
            _where(places[name][0], schema, schemas) if len(places[name]) == 1 else None,
        )
        for name, schema in schemas.items()
    }


def _places(tree: Any, name: str) -> list[Any]:
    """Where a query names a table."""
    return [table for table in tree.find_all(exp.Table) if table.name.casefold() == name.casefold()]


def _is_natural(join: Any) -> bool:
    return bool(join.args.get("method") == "NATURAL")


def _columns(tree: Any, places: list[Any], schema: Any) -> tuple[str, ...]:
    """The columns of a table that the query may read: those whose names stand anywhere in it."""
    called = {place.alias_or_name.casefold() for place in places}
    if any(_whole(place) for place in places) or _as_value(tree, called):
        return tuple(schema.names)
    aliases = {table.alias_or_name.casefold() for table in tree.find_all(exp.Table)} - called
    named = set()
    for identifier in tree.find_all(exp.Identifier):
        column = identifier.parent
        of_column = isinstance(column, exp.Column) and column.this is identifier and not column.args.get("db")
        if not (of_column and column.table.casefold() in aliases):
            named.add(identifier.name.casefold())
    found = tuple(name for name in schema.names if name.casefold() in named)
    return found or _smallest(schema)


def _as_value(tree: Any, called: set[str]) -> bool:
    """Whether a row as a whole is a value: ``select this from this``."""
    plain = (c for c in tree.find_all(exp.Column) if not c.table and not isinstance(c.this, exp.Star))
    return any(column.name.casefold() in called for column in plain)


def _smallest(schema: Any) -> tuple[str, ...]:
    """One column, for a query that only counts rows."""
    fixed = [field.name for field in schema if pa.types.is_primitive(field.type)]
    return (*fixed, *schema.names)[:1]


def _whole(place: Any) -> bool:
    """Whether all columns are read of a table where it stands: by a star, or by names of its own for them."""
    alias = place.args.get("alias")
    select = place.find_ancestor(exp.Select)
    if select is None or (alias is not None and alias.columns):
        return True
    for star in select.find_all(exp.Star):
        if isinstance(star.parent, exp.Count) or star.find_ancestor(exp.Select) is not select:
            continue
        of = star.parent.table.casefold() if isinstance(star.parent, exp.Column) else ""
        if of in ("", place.alias_or_name.casefold()):
            return True
    return False


def _where(place: Any, schema: Any, schemas: Mapping[str, Any]) -> str | None:
    """The parts of a WHERE that look at this table alone, where leaving rows out before is the same."""
    select = place.parent.parent
    tables = _joined(select, place)
    if tables is None or not (where := select.args.get("where")):
        return None
    outer = any(join.args.get("side") for join in select.args.get("joins") or ())
    found = []
    for part in Condition("", (), where.this.copy()).parts():
        tree = part.tree
        if not all(_belongs(c, place, tables, schemas, select) for c in tree.find_all(exp.Column)):
            continue
        if outer and _takes_nulls(tree):
            continue
        if (text := _on(schema, tree)) is not None:
            found.append(f"({text})")
    return " and ".join(found) or None


def _joined(select: Any, place: Any) -> list[Any] | None:
    """The tables that a SELECT puts together; None where a row may not be left out before."""
    if not isinstance(select, exp.Select) or next(select.root().find_all(exp.TableSample), None) is not None:
        return None
    joins = select.args.get("joins") or []
    tables = [select.args["from_"].this, *(join.this for join in joins)]
    plain = all(isinstance(table, exp.Table) and not _renamed(table) for table in tables)
    beside = all((join.args.get("method") or "") in _BESIDE for join in joins)
    kinds = all((join.args.get("kind") or "") in ("", "INNER", "CROSS", "OUTER") for join in joins)
    known = any(table is place for table in tables)
    lateral = next(select.find_all(exp.Lateral, exp.Unnest), None) is not None
    return tables if plain and beside and kinds and known and not lateral else None


def _renamed(table: Any) -> bool:
    alias = table.args.get("alias")
    extra = any(table.args.get(name) for name in ("joins", "pivots", "laterals", "sample"))
    return extra or (alias is not None and bool(alias.columns))


def _belongs(column: Any, place: Any, tables: list[Any], schemas: Mapping[str, Any], select: Any) -> bool:
    """Whether a column is surely one of this table."""
    if column.args.get("db"):
        return False
    if column.table:
        return bool(column.table.casefold() == place.alias_or_name.casefold())
    if any(item.alias.casefold() == column.name.casefold() for item in select.expressions if item.alias):
        return False
    known = {name.casefold(): schema for name, schema in schemas.items()}
    behind = [(table, known.get(table.name.casefold())) for table in tables]
    if any(schema is None for _, schema in behind):  # a common table expression, of columns unknown
        return False
    name = column.name.casefold()
    holding = [t for t, schema in behind if schema and name in {n.casefold() for n in schema.names}]
    return len(holding) == 1 and holding[0] is place


def _takes_nulls(tree: Any) -> bool:
    """Whether a row may pass that a join filled with missing values: it must not be made by leaving out."""
    return next(tree.find_all(exp.Is), None) is not None


def _on(schema: Any, tree: Any) -> str | None:
    """A plain comparison as a condition on the table; None for all else, which could fail on other rows."""
    names = {name.casefold(): name for name in schema.names}
    tree = tree.copy()
    for column in tree.find_all(exp.Column):
        if column.name.casefold() not in names:
            return None
        column.set("this", exp.to_identifier(names[column.name.casefold()], quoted=True))
        column.set("table", None)
    types = {field.name: _sort(field.type) for field in schema}
    condition = Condition("", (), tree)
    return str(tree.sql(dialect="duckdb")) if condition.is_plain(types) else None


def _sort(kind: Any) -> str:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_date(kind):
        return "date"
    return "time" if pa.types.is_timestamp(kind) and kind.tz is None else ""
