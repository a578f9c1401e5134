"""What is particular to a database behind SQLAlchemy; of one that nothing is known of, this holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from orrery.data.conditions import Condition
from orrery.data.sources import sql_types
from orrery.data.sources.sql_types import Column
from orrery.extras import require

_NAMES = {"postgresql": "postgres", "mssql": "tsql"}
_FIRST = 1_000
"""Rows whose values tell the types of a query, where the driver does not."""


class Dialect:
    """How one database is spoken to; ``name`` is sqlglot's."""

    snapshot: tuple[str, ...] = ()
    """What makes a connection see one state of the database; empty where nothing is known to."""

    def __init__(self, name: str) -> None:
        self.name = _NAMES.get(name, name)

    def url(self, address: str) -> str:
        """An address as SQLAlchemy takes it, its driver named."""
        return address

    def arguments(self, timeout_s: float) -> dict[str, Any]:
        """What the driver is told beside the address. Few drivers have a deadline for silence."""
        return {}

    def prepare(self, link: Any) -> None:
        """What is said first on every connection."""

    def columns(
        self, link: Any, rows: str, declared: Mapping[str, Any], types: Mapping[str, str], place: str
    ) -> dict[str, Column]:
        """Each column of the query; ``declared`` are SQLAlchemy's types, if it is one table."""
        known = {name: sql_types.declared(kind) for name, kind in declared.items()}
        told = bool(known) and all(kind is not None or name in types for name, kind in known.items())
        result = self.stream(link, f"select * from ({rows}) this" + (" where 1 = 0" if told else ""))
        names = list(map(str, result.keys()))
        first = [] if told else result.fetchmany(_FIRST)
        self.close(result)
        return sql_types.decide(names, known, first, types, place)

    def stream(self, link: Any, query: str) -> Any:
        """What has ``fetchmany`` for the query's rows, which come as they are asked for."""
        return link.execution_options(stream_results=True).exec_driver_sql(query)

    def close(self, cursor: Any, aside: Callable[[str], Any] | None = None) -> None:
        """Close what ``stream`` gave; the rest of its rows will not be read.

        With ``aside``, which asks another connection, this one is asked again afterwards.
        """
        with suppress(Exception):  # the connection may be gone, and is given up in any case
            cursor.close()

    def array(self, values: Sequence[Any], column: Column) -> Any:
        """A driver's values as an Arrow array. Raises ArrowException, ValueError … where one does not fit."""
        return (column.read or sql_types.array_of)(values, column.type)

    def is_lost(self, engine: Any, error: BaseException, link: Any) -> bool:
        """Whether an error means that the connection is gone."""
        disconnected = engine.dialect.is_disconnect(error, link, None)
        return bool(disconnected or getattr(error, "connection_invalidated", False))

    def said(self, error: BaseException) -> str:
        """What the driver says, in one line."""
        return " ".join(str(error).split())

    def condition(self, condition: Condition, columns: Mapping[str, Column]) -> str:
        """A condition as the database writes it."""
        return condition.sql(self.name)

    def kept(self, query: str) -> str:
        """A query whose order of rows still holds where it stands between brackets."""
        return query

    def hash(self, columns: Mapping[str, str]) -> str | None:
        """A query's columns for a hash of all rows, whatever their order; None where there is none."""
        return None


def dialect_of(scheme: str) -> Dialect:
    """By the first word of a scheme: ``mysql``, ``oracle+oracledb``, ``sqlalchemy+mssql+pyodbc``."""
    name = scheme.lower().removeprefix("sqlalchemy+").partition("+")[0]
    if name in ("mysql", "mariadb"):
        made: Dialect = require("orrery.data.sources.mysql", "Reading MySQL").MySql()
        return made
    return Dialect(name)
