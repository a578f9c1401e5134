"""MySQL's protocol: a MariaDB server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tests.contracts.rows import NAMES

from orrery.data.table import Table, read

_CREATE = 'create table {} (id bigint{}, `the "size"` double, `城市 é` text) character set utf8mb4'


def place_mariadb(rows: list[dict[str, Any]], ask: Callable[[str], Any], parts: int | None) -> Table:
    server = ask("mariadb")
    ask("monkeypatch").setenv("ORRERY_CONNECTION__MARIA", server.url)
    name = f"t_{uuid4().hex}"
    link = server.connect()
    with link, link.cursor() as cursor:
        cursor.execute(_CREATE.format(name, " primary key" if parts else ""))
        cursor.executemany(
            f"insert into {name} values (%s, %s, %s)", [tuple(row[n] for n in NAMES) for row in rows]
        )
    if parts:
        return read("mysql://?connection=maria", table=name, parts=parts)
    return read("mariadb://", connection="maria", query=f"select * from {name} order by id")


PLACES = {
    "mariadb": lambda rows, ask: place_mariadb(rows, ask, None),
    "mariadb parts": lambda rows, ask: place_mariadb(rows, ask, 3),
}
