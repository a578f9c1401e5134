"""Queries answered by the place where all rows lie: one table of a database, or several of the same one."""

from __future__ import annotations

from typing import Any

from orrery.data import sql
from orrery.data.source import Source

_OWN = ("query", "table")
"""What tells two tables of one database apart; everything else is the database's."""


def asked(source: Source, step: Any, have: Any, where: str | None) -> Any:
    """The place answering a step that is a query; None where the rows have to come here for it."""
    ask = getattr(source, "ask", None)
    dialect = getattr(source, "dialect", None)
    if ask is None or (step.dialect is not None and dialect is None):
        return None
    queries: dict[str, Any] = {}
    for name, table in step.others:
        behind = _rows(source, table._pipeline)
        if behind is None:
            return None
        queries[name] = behind
    text = step.text(dialect, have)
    return ask(sql.Query.of(text, queries) if queries else text, tuple(have.names), where)


def _rows(source: Source, pipeline: Any) -> Any:
    """The rows of another table as a query in the place's own words; None where they lie elsewhere."""
    if not pipeline.is_plain() or not same_place(source, pipeline.source):
        return None
    names = tuple(pipeline.schema.names)
    told = pipeline.source.ask("select * from this", names, pipeline.where)
    return None if told is None else getattr(told, "frame", None) if hasattr(told, "database") else told.query


def same_place(one: Source, other: Source) -> bool:
    """Whether two sources are tables of one database."""
    if hasattr(one, "database"):  # where tables are objects, which know theirs
        return type(one) is type(other) and one.database is other.database  # type: ignore[attr-defined]
    if type(one) is not type(other) or getattr(one, "place", None) != getattr(other, "place", None):
        return False
    return _settings(one) == _settings(other)


def _settings(source: Source) -> dict[str, Any]:
    return {name: value for name, value in source.to_dict().items() if name not in _OWN}
