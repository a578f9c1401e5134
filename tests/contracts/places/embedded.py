"""Databases in a file."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import duckdb
from tests.contracts.rows import NAMES, arrow_of

from orrery.data.table import Table, read


def place_sqlite(rows: list[dict[str, Any]]) -> Table:
    Path("rows.db").unlink(missing_ok=True)
    link = sqlite3.connect("rows.db")
    link.execute('create table things (id integer, "the ""size""" real, "城市 é" text)')
    link.executemany("insert into things values (?, ?, ?)", [tuple(row[n] for n in NAMES) for row in rows])
    link.commit()
    link.close()
    return read("sqlite:///rows.db", query="select * from things order by id")


def place_duckdb(rows: list[dict[str, Any]]) -> Table:
    Path("rows.duckdb").unlink(missing_ok=True)
    with duckdb.connect("rows.duckdb") as link:
        link.register("given", arrow_of(rows))
        link.execute("create table things as select * from given")
    return read("duckdb:///rows.duckdb")


def in_parts(table: Table) -> Table:
    return read(table.source.place, table="things", split_on="id", parts=3)  # type: ignore[attr-defined]


PLACES = {
    "sqlite": lambda rows, ask: place_sqlite(rows),
    "sqlite parts": lambda rows, ask: in_parts(place_sqlite(rows)),
    "duckdb": lambda rows, ask: place_duckdb(rows),
}
