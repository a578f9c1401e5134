"""Conditions as Iceberg's expressions, for leaving data files out; what has another meaning there is not."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from orrery.data import conditions
from orrery.data.sources.footer import literal

_NAMES = {
    exp.EQ: "EqualTo",
    exp.GT: "GreaterThan",
    exp.GTE: "GreaterThanOrEqual",
    exp.LT: "LessThan",
    exp.LTE: "LessThanOrEqual",
}


def bound(condition: conditions.Condition, schema: Any) -> Any:
    """What of a condition rules data files out; None for nothing."""
    from pyiceberg import expressions

    whole = None
    for part in condition.parts():
        found = _term(part.tree, schema, expressions)
        if found is not None:
            whole = found if whole is None else expressions.And(whole, found)
    return whole


def _term(tree: Any, schema: Any, expressions: Any) -> Any:
    while isinstance(tree, exp.Paren):
        tree = tree.this
    if isinstance(tree, exp.Not) and _of_null(tree.this):
        return expressions.NotNull(tree.this.this.name)
    if _of_null(tree):
        return expressions.IsNull(tree.this.name)
    if isinstance(tree, exp.Between):
        low = _term(exp.GTE(this=tree.this, expression=tree.args["low"]), schema, expressions)
        high = _term(exp.LTE(this=tree.this, expression=tree.args["high"]), schema, expressions)
        return None if low is None or high is None else expressions.And(low, high)
    if type(tree) not in _NAMES or not isinstance(tree.this, exp.Column):
        return None
    value = literal(tree.expression, schema.field(tree.this.name).type)
    # NaN is greater than every number to SQL, and in none of Iceberg's bounds.
    if value is None or (isinstance(value, float) and isinstance(tree, (exp.GT, exp.GTE))):
        return None
    return getattr(expressions, _NAMES[type(tree)])(tree.this.name, value)


def _of_null(tree: Any) -> bool:
    return (
        isinstance(tree, exp.Is)
        and isinstance(tree.this, exp.Column)
        and isinstance(tree.expression, exp.Null)
    )
