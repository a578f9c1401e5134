"""Conditions on one row, written in SQL: parsed, checked against the columns, handed to whoever filters.

A condition looks at one row at a time: no subqueries, sums or windows (``Table.sql`` has those). It is
never pasted into a query as text: what runs is made from the parsed tree.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from orrery.errors import SettingsError, UnknownColumnError

# What sqlglot remarks on is told by our errors; without a handler Python would print it to standard error.
logging.getLogger("sqlglot").addHandler(logging.NullHandler())

_WHOLE_TABLE = (exp.Query, exp.AggFunc, exp.Window, exp.Subquery, exp.Exists)
_SEVERAL = (exp.UDTF, exp.Columns, exp.Star)
_LOGIC = (exp.And, exp.Or, exp.Not, exp.Paren, exp.Is, exp.Null)
_TIMES = {
    "date": r"\d{4}-\d\d-\d\d",
    "time": r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d(\.\d{1,6})?)?)?",
}
"""The spellings of dates and times that every place reads alike."""
_ORDERED = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)
_EQUAL = (exp.EQ, exp.NEQ, exp.In)


@dataclass(frozen=True)
class Condition:
    """A parsed condition; ``columns`` are those that it reads."""

    text: str
    columns: tuple[str, ...]
    tree: Any

    def sql(
        self,
        dialect: str,
        rename: dict[str, str] | None = None,
        wrap: Callable[[Any], Any] = lambda column: column,
    ) -> str:
        """The condition for a database; columns quoted, and renamed or wrapped in more SQL where asked."""
        tree = self.tree.copy()
        for column in list(tree.find_all(exp.Column)):
            name = (rename or {}).get(column.name, column.name)
            column.set("this", exp.to_identifier(name, quoted=True))
            if (plain := wrap(column.copy())) != column:
                tree = plain if column is tree else (column.replace(plain), tree)[1]
        return str(tree.sql(dialect=dialect))

    def parts(self) -> list[Condition]:
        """The conditions that ``and`` joins."""
        tree = self.tree.unnest()
        if isinstance(tree, exp.And):
            sides = (Condition("", (), side) for side in (tree.left, tree.right))
            return [part for side in sides for part in side.parts()]
        return [Condition(tree.sql(dialect="duckdb"), _columns(tree), tree)]

    def bare(self, types: dict[str, str]) -> Condition:
        """The same with ``timestamp '2024-01-01'`` as a plain text, where the column's sort says as much."""
        tree = self.tree.copy()
        for cast in list(tree.find_all(exp.Cast)):
            beside = getattr(cast.parent, "this", None)
            sort = types.get(beside.name, "") if isinstance(beside, exp.Column) else ""
            if isinstance(cast.parent, (*_ORDERED, *_EQUAL)) and sort in _TIMES and _says_no_more(cast, sort):
                cast.replace(cast.this)
        return Condition(self.text, self.columns, tree)

    def is_plain(self, types: dict[str, str], likes: bool = False) -> bool:
        """Whether every place means the same by it: comparisons of a column with a literal of its sort.

        ``types`` gives each column's sort: ``number``, ``text``, ``date``, ``time``. Texts are only compared
        for equality, since databases order them differently; and with ``likes``, for a place that tells
        small letters from capitals, by :func:`affix`.
        """
        return _plain(self.tree, types, likes)


@lru_cache(maxsize=256)
def parse(text: str, columns: tuple[str, ...]) -> Condition:
    """A condition on a table of these columns. Raises SettingsError and UnknownColumnError.

    >>> parse('"b c" > 3 and a is null', ("a", "b c")).columns
    ('b c', 'a')
    """
    try:
        trees = [tree for tree in sqlglot.parse(text, read="duckdb") if tree is not None]
    except SqlglotError as error:
        raise SettingsError(
            f"The condition {text!r} is not SQL: {_first_line(error)}", hint=_EXAMPLE
        ) from None
    except RecursionError:
        raise SettingsError("The condition has too many brackets within brackets.", hint=_EXAMPLE) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Condition):
        raise SettingsError(
            f"The condition {text!r} must be one expression that is true or false.", hint=_EXAMPLE
        )
    tree = trees[0]
    whole = next(tree.find_all(*_WHOLE_TABLE), None)
    if whole is not None:
        raise SettingsError(
            f"The condition {text!r} looks at more than one row: {whole.sql(dialect='duckdb')}.",
            hint="Write it as a query: table.sql('select * from this where …').",
        )
    several = next(tree.find_all(*_SEVERAL), None)
    if several is not None:
        raise SettingsError(
            f"The condition {text!r} has more than one answer per row: {several.sql(dialect='duckdb')}.",
            hint=f"Name the columns one by one. {_EXAMPLE}",
        )
    for column in list(tree.find_all(exp.Column)):
        column.set("this", exp.to_identifier(_resolve(column, columns), quoted=True))
        column.set("table", None)
    tree = tree.transform(_unfolded)
    return Condition(text, _columns(tree), tree)


def _unfolded(tree: Any) -> Any:
    """``a not like b`` as ``not a like b``: who looks for Like must not miss that it is turned round."""
    if not tree.args.get("negate"):
        return tree
    tree.set("negate", None)
    return exp.Not(this=tree)


_EXAMPLE = "Write it like: age > 30 and \"home town\" = 'Oslo'."


def _columns(tree: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column.name for column in tree.find_all(exp.Column, bfs=False)))


def _resolve(column: Any, columns: tuple[str, ...]) -> str:
    """The column meant: its exact name, or the only one that differs in case."""
    name = str(column.name)
    if name in columns:
        return name
    close = [c for c in columns if c.casefold() == name.casefold()]
    if len(close) == 1 and not column.this.quoted:
        return close[0]
    raise UnknownColumnError(name, columns)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].replace("\x1b[4m", "").replace("\x1b[0m", "")


def affix(tree: Any) -> tuple[bool, str, bool] | None:
    """Of ``name like '%a b%'`` the text, and whether others may stand before and behind it.

    None for patterns that places read in ways of their own: with ``_``, a backslash, or ``%`` between.

    >>> affix(parse("a like 'x%'", ("a",)).tree), affix(parse("a like 'x_'", ("a",)).tree)
    ((False, 'x', True), None)
    """
    pattern = tree.expression if isinstance(tree, exp.Like) and isinstance(tree.this, exp.Column) else None
    if not isinstance(pattern, exp.Literal) or not pattern.is_string or tree.args.get("negate"):
        return None
    before, text, behind = re.fullmatch("(%?)(.*?)(%?)", str(pattern.this), re.DOTALL).groups()  # type: ignore[union-attr]
    return None if not text or re.search(r"[%_\\]", text) else (bool(before), text, bool(behind))


def _plain(tree: Any, types: dict[str, str], likes: bool) -> bool:
    if isinstance(tree, (exp.And, exp.Or)):
        return _plain(tree.left, types, likes) and _plain(tree.right, types, likes)
    if isinstance(tree, (exp.Not, exp.Paren)):
        return _plain(tree.this, types, likes)
    if isinstance(tree, exp.Is):
        return isinstance(tree.this, exp.Column) and isinstance(tree.expression, exp.Null)
    if likes and affix(tree) is not None:
        return types.get(tree.this.name) == "text"
    if not isinstance(tree, (*_ORDERED, *_EQUAL)):
        return False
    sort = types.get(tree.this.name, "") if isinstance(tree.this, exp.Column) else ""
    if sort == "" or (sort == "text" and isinstance(tree, _ORDERED)):
        return False
    if isinstance(tree, exp.In) and not tree.expressions:
        return False
    others = [v for k, v in tree.args.items() if k != "this" and v is not None]
    values = [v for other in others for v in (other if isinstance(other, list) else [other])]
    return all(_is_literal(value, sort) for value in values if isinstance(value, exp.Expression))


def _says_no_more(cast: Any, sort: str) -> bool:
    """Whether a typed literal is the moment that its text is to a column of this sort."""
    kind, value = cast.to.this.name, cast.this
    if type(cast) is not exp.Cast or cast.to.expressions or kind not in ("DATE", "TIMESTAMP", "TIMESTAMPNTZ"):
        return False
    spelling = _TIMES["date" if kind == "DATE" else sort]  # a date cuts the time off
    return isinstance(value, exp.Literal) and re.fullmatch(spelling, value.this) is not None


def _is_literal(value: Any, sort: str) -> bool:
    if isinstance(value, exp.Neg):
        return sort == "number" and _is_literal(value.this, sort)
    if not isinstance(value, exp.Literal):
        return False
    if sort in _TIMES:
        return bool(value.is_string) and re.fullmatch(_TIMES[sort], value.this) is not None
    return bool(value.is_string) == (sort == "text")
