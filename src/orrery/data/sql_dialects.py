"""One text of SQL for several databases: rewritten so that each gives equal rows, or refused.

Databases read the same words differently: whether ``5 / 2`` is 2, where nulls are sorted, whether ``like``
and ``=`` tell ``a`` from ``A``. What is known to come out alike is let through, rewritten where it has to be;
anything else is an error that names it. The rules: division is of doubles, and by zero gives null; text is
compared and sorted by code points.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError, UnsupportedError

from orrery.data.sql import check_query, check_tables, first_line
from orrery.errors import SettingsError, listing

DIALECTS = ("duckdb", "postgres", "mysql", "sqlite", "spark")
"""What ``dialect=`` may be."""

_ALIKE = (
    *(exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit),
    *(exp.Offset, exp.Distinct, exp.Union, exp.Except, exp.Intersect, exp.Subquery, exp.With, exp.CTE),
    *(exp.Table, exp.TableAlias, exp.Column, exp.Identifier, exp.Alias, exp.Star, exp.Literal, exp.Null),
    *(exp.Boolean, exp.Paren, exp.Tuple, exp.And, exp.Or, exp.Not, exp.Is, exp.Between, exp.In, exp.Exists),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.Add, exp.Sub, exp.Mul, exp.Div),
    *(exp.Neg, exp.Mod, exp.DPipe, exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Cast, exp.DataType),
    *(exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Abs, exp.Window, exp.WindowSpec, exp.RowNumber),
    *(exp.Rank, exp.DenseRank, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.Upper, exp.Lower),
    *(exp.Length, exp.Substring, exp.Replace, exp.Trim, exp.Year, exp.Month, exp.Day, exp.Extract, exp.Var),
)
"""What every place means the same by, once it is rewritten as below."""

_COLLATION = {"postgres": '"C"', "mysql": "utf8mb4_bin", "sqlite": "binary"}
_NUMBERS = ("INT", "BIGINT", "SMALLINT", "DOUBLE")
_PARTS = {"year": "%Y", "month": "%m", "day": "%d"}


def translated(text: str, read: str, write: str, schemas: Mapping[str, Any]) -> str:
    """A query of one dialect in another. ``schemas``: the Arrow schema of each table that it may name.

    Raises SettingsError for what is no query, and for what may mean something else there.

    >>> import pyarrow as pa
    >>> this = pa.schema({"a": pa.int64()})
    >>> translated("select a / 2 as half from this", "duckdb", "sqlite", {"this": this})
    'SELECT CAST("a" AS REAL) / 2 AS "half" FROM this'
    """
    for dialect in (read, write):
        if dialect not in DIALECTS:
            raise SettingsError(f"There is no dialect {dialect!r}; there are {listing(DIALECTS)}.")
    tree = check_query(text, read).copy()
    check_tables(tree, text, schemas)
    _check(tree, text, write)
    _name(tree, schemas)
    for node in list(tree.walk(bfs=False)):
        _rewrite(node, write)
    if write in _COLLATION:
        _collate(tree, schemas, write)
    if write == "mysql":
        _put_nulls(tree)
    try:
        return str(tree.sql(dialect=write, unsupported_level=sqlglot.ErrorLevel.RAISE))
    except (UnsupportedError, SqlglotError) as error:
        raise SettingsError(f"The query {text!r} cannot be put into {write}: {first_line(error)}") from None


def _check(tree: Any, text: str, write: str) -> None:
    for node in tree.walk():
        if not isinstance(node, _ALIKE) or (odd := _odd(node, write)):
            told = odd if isinstance(node, _ALIKE) else ""
            raise SettingsError(
                f"The query {text!r} uses {node.sql(dialect='duckdb')!r}, which databases understand "
                f"differently{f': {told}' if told else ''}.",
                hint="Without dialect= a query is asked in the place's own words.",
            )


def _odd(node: Any, write: str) -> str:
    """Why an expression of a good sort is none that comes out alike; empty where it does."""
    if isinstance(node, exp.Cast):
        kind = node.to.this.name
        return "" if kind in (*_NUMBERS, "DATE") and not _may_round(node, kind) else "write another cast"
    if isinstance(node, exp.Div) and node.args.get("typed") and not _is_double(node):
        return "cast one side to double"
    if isinstance(node, exp.Distinct) and node.args.get("on"):
        return "use row_number()"
    if isinstance(node, exp.Like) and not isinstance(node.expression, exp.Literal):
        return "the pattern has to be a literal"
    if isinstance(node, (exp.Upper, exp.Lower)) and write == "sqlite":
        return "SQLite knows only the letters of ASCII"
    if isinstance(node, exp.Extract) and node.this.name.lower() not in _PARTS:
        return f"of a date there are {listing(_PARTS)}"
    if isinstance(node, exp.Trim) and (node.expression or node.args.get("position")):
        return "trim() takes blanks off both ends"
    if isinstance(node, exp.Group) and node.args.get("all"):
        return "name the columns"
    if isinstance(node, exp.Join) and node.side == "FULL" and write == "mysql":
        return "MySQL has no full join"
    if isinstance(node, exp.Join) and (node.method or node.kind not in ("", "INNER", "OUTER", "CROSS")):
        return "only inner, left, right, full and cross joins"
    return ""


def _may_round(node: Any, kind: str) -> bool:
    """Databases round, or cut, a fraction that is cast to a whole number: only counts and literals may be."""
    whole = isinstance(node.this, (exp.Count, exp.RowNumber, exp.Year, exp.Month, exp.Day, exp.Extract))
    literal = isinstance(node.this, exp.Literal) and str(node.this.this).lstrip("-").isdigit()
    return kind in ("INT", "BIGINT", "SMALLINT") and not (whole or literal)


def _is_double(node: Any) -> bool:
    sides = (node.left.unnest(), node.right.unnest())
    return any(
        isinstance(side, exp.Avg)
        or (isinstance(side, exp.Cast) and side.to.this.name == "DOUBLE")
        or (isinstance(side, exp.Literal) and not side.is_string and "." in str(side.this))
        for side in sides
    )


def _name(tree: Any, schemas: Mapping[str, Any]) -> None:
    """Quote every column and alias as it is spelt: some databases fold the case of what is not quoted."""
    names = {name: name for schema in schemas.values() for name in schema.names}
    for alias in tree.find_all(exp.Alias, exp.TableAlias):
        written = [alias.args["alias"]] if isinstance(alias, exp.Alias) else alias.columns
        names |= {part.name: part.name for part in written}
    folded = {name.casefold(): name for name in names}
    for column in tree.find_all(exp.Column):
        if isinstance(column.this, exp.Identifier):
            spelt = column.name if column.this.quoted else folded.get(column.name.casefold(), column.name)
            column.set("this", exp.to_identifier(spelt, quoted=True))
    for select in tree.find_all(exp.Select):
        told = [(node, node.sql(dialect="duckdb")) for node in select.expressions]
        named = (exp.Alias, exp.Column, exp.Star)
        given = [n if isinstance(n, named) else exp.alias_(n.copy(), text, quoted=True) for n, text in told]
        select.set("expressions", given)
    for alias in tree.find_all(exp.Alias):
        alias.set("alias", exp.to_identifier(alias.alias, quoted=True))
    for join in tree.find_all(exp.Join):
        using = [folded.get(part.name.casefold(), part.name) for part in join.args.get("using") or ()]
        if using:
            join.set("using", [exp.to_identifier(name, quoted=True) for name in using])


def _rewrite(node: Any, write: str) -> None:
    """One expression, in place, as it has to be written to mean the same."""
    if isinstance(node, exp.Div):
        node.set("typed", False)
        node.set("safe", True)  # by zero gives null
        node.set("this", exp.cast(node.left.copy(), "double"))
        if write == "spark":  # sqlglot takes it to give null too, which it does no more
            node.set("expression", exp.Nullif(this=node.right.copy(), expression=exp.Literal.number(0)))
    elif isinstance(node, exp.Avg) and not isinstance(node.this, exp.Cast):
        node.set("this", exp.cast(node.this.copy(), "double"))
    elif isinstance(node, (exp.Year, exp.Month, exp.Day, exp.Extract)):
        part = node.this.name.lower() if isinstance(node, exp.Extract) else type(node).__name__.lower()
        date = node.expression if isinstance(node, exp.Extract) else node.this
        node.replace(_part_of_date(part, date.copy(), write))
    elif isinstance(node, exp.Like) and write == "sqlite":
        pattern = exp.Literal.string(glob_of(node.expression.this))
        node.replace(exp.Glob(this=node.this.copy(), expression=pattern))


def _put_nulls(tree: Any) -> None:
    """Nulls where they belong, in words that MySQL knows: it has no ``nulls last``."""
    for order in tree.find_all(exp.Order):
        found = []
        for term in order.expressions:
            by, first, down = term.this, bool(term.args.get("nulls_first")), bool(term.args.get("desc"))
            if isinstance(by, exp.Literal) and isinstance(order.parent, exp.Select):  # a column by its number
                chosen = order.parent.expressions[int(by.this) - 1]
                by = exp.column(exp.to_identifier(chosen.alias_or_name, quoted=True))
            if first is down:  # MySQL takes a null for the least value
                missing = exp.Is(this=by.copy(), expression=exp.Null())
                found.append(exp.Ordered(this=missing, desc=first, nulls_first=not first))
            found.append(exp.Ordered(this=by.copy(), desc=down, nulls_first=not down))
        order.set("expressions", found)


def _part_of_date(part: str, date: Any, write: str) -> Any:
    if write == "sqlite":
        found: Any = exp.Anonymous(this="strftime", expressions=[exp.Literal.string(_PARTS[part]), date])
    else:
        found = exp.Extract(this=exp.Var(this=part.upper()), expression=date)
    return exp.cast(found, "bigint") if write != "mysql" else found


def glob_of(pattern: str) -> str:
    """A pattern of ``like`` as one of ``glob``, which tells upper from lower case in SQLite.

    >>> glob_of("a%_[*]")
    'a*?[[][*]]'
    """
    told = re.sub(r"[*?\\[]", lambda found: f"[{found[0]}]", pattern)
    return told.replace("%", "*").replace("_", "?")


def _collate(tree: Any, schemas: Mapping[str, Any], write: str) -> None:
    """Read tables with their text compared by code points, as DuckDB and Spark do."""
    own = {cte.alias_or_name.casefold() for cte in tree.find_all(exp.CTE)}
    known = {name.casefold(): schema for name, schema in schemas.items()}
    for table in list(tree.find_all(exp.Table)):
        name = table.name.casefold()
        if name in own or name not in known:
            continue
        texts = {f.name for f in known[name] if str(f.type) in ("string", "large_string")}
        if not texts:
            continue
        inner = exp.select(*(_column(n, n in texts, write) for n in known[name].names))
        inner = inner.from_(exp.to_table(table.name))
        told = exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(table.alias_or_name)))
        table.replace(told)


def _column(name: str, is_text: bool, write: str) -> Any:
    column = exp.column(exp.to_identifier(name, quoted=True))
    if not is_text:
        return column
    collation = exp.Var(this=_COLLATION[write])
    return exp.alias_(exp.Collate(this=column, expression=collation), name, quoted=True)
