"""Operators, one per file. An installed package adds its own by the entry point ``orrery.flow.operators``."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from orrery.errors import FlowError, did_you_mean, listing

OPERATORS: dict[str, str] = {
    "read": "orrery.flow.operators.read:read",
    "select": "orrery.flow.operators.select:select",
    "without": "orrery.flow.operators.without:without",
    "where": "orrery.flow.operators.where:where",
    "sql": "orrery.flow.operators.sql:sql",
    "join": "orrery.flow.operators.join:join",
    "as_of": "orrery.flow.operators.as_of:as_of",
    "sample": "orrery.flow.operators.sample:sample",
    "union": "orrery.flow.operators.union:union",
    "split": "orrery.flow.operators.split:split",
    "write": "orrery.flow.operators.write:write",
    "fit": "orrery.flow.operators.fit:fit",
    "evaluate": "orrery.flow.operators.evaluate:evaluate",
    "predict": "orrery.flow.operators.predict:predict",
    "publish": "orrery.flow.operators.publish:publish",
    "retrain": "orrery.flow.operators.retrain:retrain",
    "promote": "orrery.flow.operators.promote:promote",
    "drift": "orrery.flow.operators.drift:drift",
}
"""Name of an operator -> ``module:name``."""


def table() -> dict[str, str]:
    """All operators, those of installed packages included."""
    found = dict(OPERATORS)
    for point in entry_points(group=__name__):
        found.setdefault(point.name, point.value)
    return found


def names() -> list[str]:
    """The names of all operators."""
    return list(table())


def find(name: str) -> Any:
    """The operator of a name, imported when it is asked for. Raises FlowError that lists the names."""
    known = table()
    if name not in known:
        raise FlowError(
            f"There is no operator {name!r}. There are {listing(known, 30)}.", hint=did_you_mean(name, known)
        )
    module, _, attribute = known[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
