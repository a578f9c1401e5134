"""Any database that SQLAlchemy reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.contracts.places.embedded import place_sqlite
from tests.contracts.places.postgresql import place_postgresql

from orrery.data.table import Table, read


def place_sqlite_by_sqlalchemy(rows: list[dict[str, Any]], parts: int | None) -> Table:
    place_sqlite(rows)
    if parts:
        return read("sqlalchemy+sqlite:///rows.db", table="things", split_on="id", parts=parts)
    types = {"id": "int64", 'the "size"': "double"}  # which the driver does not tell of a query without rows
    return read("sqlalchemy+sqlite:///rows.db", query="select * from things order by id", types=types)


def place_postgresql_by_sqlalchemy(
    rows: list[dict[str, Any]], ask: Callable[[str], Any], parts: int
) -> Table:
    server = ask("postgresql")
    url = server.url.replace("postgresql:", "sqlalchemy+postgresql+psycopg:")
    ask("monkeypatch").setenv("ORRERY_CONNECTION__SHOP", url)
    query = place_postgresql(rows, server).source.query  # type: ignore[attr-defined]  # of PostgreSql
    table = query.split()[3]
    return read("sqlalchemy+postgresql://?connection=shop", table=table, split_on="id", parts=parts)


PLACES = {
    "sqlalchemy sqlite": lambda rows, ask: place_sqlite_by_sqlalchemy(rows, None),
    "sqlalchemy sqlite parts": lambda rows, ask: place_sqlite_by_sqlalchemy(rows, 3),
    "sqlalchemy postgresql parts": lambda rows, ask: place_postgresql_by_sqlalchemy(rows, ask, 3),
}
