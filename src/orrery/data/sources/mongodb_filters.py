"""SQL conditions as MongoDB filters: only where both mean exactly the same, missing values and NaN included.

SQL knows three answers, a filter two: so each part is written twice, as the filter of the rows for which it
is true, and of those for which it is false. A row of which neither can be said (a null) is in none.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlglot import exp

from orrery.data.conditions import Condition, affix
from orrery.extras import require

Filter = dict[str, Any]


class Compared(NamedTuple):
    """A column as a filter sees it."""

    path: str
    """Where the value lies in a document: ``address.city``."""
    sort: str
    """What it holds: ``int``, ``double``, ``decimal``, ``text``, ``time``, ``oid`` or ``bool``."""


_ORDER = {exp.GT: "$gt", exp.GTE: "$gte", exp.LT: "$lt", exp.LTE: "$lte"}
_OPPOSITE = {"$gt": "$lte", "$gte": "$lt", "$lt": "$gte", "$lte": "$gt"}
_TIME = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d(\.\d{1,3})?)?)?")  # MongoDB keeps milliseconds
_INT64 = range(-(2**63), 2**63)


class _OnlyHere(Exception):  # noqa: N818 - it says where a condition is computed; nothing went wrong
    """A part that only DuckDB can tell."""


def as_filter(condition: Condition, columns: Mapping[str, Compared]) -> Filter | None:
    """The filter that finds the rows for which the condition is true; None where there is no such filter.

    >>> from orrery.data.conditions import parse
    >>> as_filter(parse("age >= 30 or name is null", ("age", "name")),
    ...           {"age": Compared("age", "int"), "name": Compared("name", "text")})
    {'$or': [{'age': {'$gte': 30}}, {'name': None}]}
    """
    try:
        return _filter(condition.tree, columns, True)
    except _OnlyHere:
        return None


def _filter(tree: Any, columns: Mapping[str, Compared], wanted: bool) -> Filter:
    """The rows for which the answer is ``wanted``."""
    if isinstance(tree, exp.Paren):
        return _filter(tree.this, columns, wanted)
    if isinstance(tree, exp.Not):
        return _filter(tree.this, columns, not wanted)
    if isinstance(tree, (exp.And, exp.Or)):
        both = isinstance(tree, exp.And) == wanted
        sides = [_filter(side, columns, wanted) for side in (tree.left, tree.right)]
        return {"$and" if both else "$or": sides}
    column = columns.get(tree.this.name) if isinstance(tree.this, exp.Column) else None
    if isinstance(tree, exp.Column):
        column = columns.get(tree.name)
        if column is None or column.sort != "bool":
            raise _OnlyHere
        return {column.path: wanted}
    if column is None:
        raise _OnlyHere
    if isinstance(tree, exp.Is) and isinstance(tree.expression, exp.Null):
        return {column.path: None if wanted else {"$ne": None}}
    return _comparison(tree, column, wanted)


def _comparison(tree: Any, column: Compared, wanted: bool) -> Filter:
    if (found := affix(tree)) is not None and column.sort == "text":
        return _affixed(found, column, wanted)
    if isinstance(tree, (exp.EQ, exp.NEQ)):
        value = _value(tree.expression, column.sort)
        equal = isinstance(tree, exp.EQ) == wanted
        return {column.path: value if equal else {"$nin": [value, None]}}
    if isinstance(tree, exp.In) and tree.expressions and not tree.args.get("query"):
        values = [_value(each, column.sort) for each in tree.expressions]
        return {column.path: {"$in": values} if wanted else {"$nin": [*values, None]}}
    if isinstance(tree, exp.Between) and not tree.args.get("symmetric"):
        low, high = (_value(tree.args[end], column.sort) for end in ("low", "high"))
        if wanted:
            return {column.path: {"$gte": low, "$lte": high}}
        return {"$or": [_ordered(column, "$lt", low), _ordered(column, "$gt", high)]}
    operator = _ORDER.get(type(tree))
    if operator is None:
        raise _OnlyHere
    return _ordered(column, operator if wanted else _OPPOSITE[operator], _value(tree.expression, column.sort))


def _affixed(affix: tuple[bool, str, bool], column: Compared, wanted: bool) -> Filter:
    """By a regular expression, which tells small letters from capitals, as ``like`` does."""
    before, text, behind = affix
    escaped = re.sub(r"([^\w\s])", r"\\\1", text, flags=re.ASCII) if text.isascii() else None
    if escaped is None:
        raise _OnlyHere
    pattern = ("" if before else "^") + escaped + ("" if behind else r"\z")
    found = require("bson", "Reading MongoDB").Regex(pattern)
    return {column.path: found} if wanted else {"$nor": [{column.path: found}, {column.path: None}]}


def _ordered(column: Compared, operator: str, value: Any) -> Filter:
    """To SQL, NaN is greater than all numbers; to MongoDB it is neither greater nor less."""
    if column.sort == "bool":
        raise _OnlyHere
    found: Filter = {column.path: {operator: value}}
    if column.sort == "double" and operator in ("$gt", "$gte"):
        return {"$or": [found, {column.path: float("nan")}]}
    return found


def _value(tree: Any, sort: str) -> Any:
    """A literal as MongoDB compares it with values of a sort."""
    if isinstance(tree, exp.Boolean) and sort == "bool":
        return bool(tree.this)
    sign = "-" if isinstance(tree, exp.Neg) else ""
    literal = tree.this if sign else tree
    if not isinstance(literal, exp.Literal) or (sign and literal.is_string):
        raise _OnlyHere
    if literal.is_string:
        return _of_text(str(literal.this), sort)
    return _of_number(sign + str(literal.this), sort)


def _of_text(text: str, sort: str) -> Any:
    if sort == "text":
        return text
    if sort == "oid" and re.fullmatch(r"[0-9a-f]{24}", text):
        return require("bson", "Reading MongoDB").ObjectId(text)
    if sort == "time" and _TIME.fullmatch(text):
        try:
            return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        except ValueError:  # no such day
            raise _OnlyHere from None
    raise _OnlyHere


def _of_number(text: str, sort: str) -> Any:
    if sort == "double":
        return float(text)
    if "e" in text.lower() or sort not in ("int", "decimal"):
        raise _OnlyHere  # DuckDB would compare as doubles
    if sort == "int" and re.fullmatch(r"-?\d+", text):
        if int(text) not in _INT64:
            raise _OnlyHere
        return int(text)
    if len(text) > 30:
        raise _OnlyHere
    return require("bson", "Reading MongoDB").decimal128.Decimal128(text)


def both(one: Filter, other: Filter) -> Filter:
    """What both filters find.

    >>> both({"a": 1}, {}), both({"a": 1}, {"b": 2})
    ({'a': 1}, {'$and': [{'a': 1}, {'b': 2}]})
    """
    return {"$and": [one, other]} if one and other else one or other


def as_text(plain: Any) -> str:
    """A filter or a pipeline as extended JSON."""
    text = require("bson.json_util", "Reading MongoDB")
    return str(text.dumps(plain, json_options=text.RELAXED_JSON_OPTIONS))


def as_bson(plain: Any) -> Any:
    """A filter or a pipeline of BSON values; what was extended JSON (``{"$oid": …}``) is so no more."""
    return require("bson.json_util", "Reading MongoDB").loads(as_text(plain))
