"""PostgreSQL."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql as pgsql
from tests.contracts.rows import NAMES
from tests.servers.postgresql import Server

from orrery.data.table import Table, read


def place_postgresql(rows: list[dict[str, Any]], server: Server, parts: int | None = None) -> Table:
    name = f"t_{uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as link:
        link.execute(
            pgsql.SQL('create table {} (id bigint, "the ""size""" float8, "城市 é" text)').format(
                pgsql.Identifier(name)
            )
        )
        with link.cursor() as cursor:
            cursor.executemany(
                pgsql.SQL("insert into {} values (%s, %s, %s)").format(pgsql.Identifier(name)),
                [tuple(row[n] for n in NAMES) for row in rows],
            )
        if parts:
            link.execute(pgsql.SQL("alter table {} add primary key (id)").format(pgsql.Identifier(name)))
    if parts:
        return read(server.url, table=name, parts=parts)
    return read(server.url, query=f"select * from {name} order by id")


PLACES = {
    "postgresql": lambda rows, ask: place_postgresql(rows, ask("postgresql")),
    "postgresql parts": lambda rows, ask: place_postgresql(rows, ask("postgresql"), 3),
}
