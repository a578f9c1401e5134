"""Tables of a lake: Delta and Iceberg, here and on S3."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog.sql import SqlCatalog
from tests.contracts.rows import ARROW, arrow_of
from tests.servers.s3 import KEY, S3, SECRET

from orrery.data.table import Table, read


def place_delta(rows: list[dict[str, Any]], where: str, options: dict[str, str] | None) -> None:
    """Three versions, the last of which has the rows."""
    more = pa.Table.from_pylist([{**dict.fromkeys(ARROW.column_names), "id": -5}], ARROW.schema)
    write_deltalake(where, arrow_of(rows), mode="overwrite", storage_options=options)
    write_deltalake(where, more, mode="append", storage_options=options)
    DeltaTable(where, storage_options=options).delete("id = -5")


def named(rows: list[dict[str, Any]]) -> str:
    """A lake tells tables apart by their own numbers, not by their rows: so one is made once."""
    return f"t{hashlib.sha256(repr(rows).encode()).hexdigest()[:20]}"


def place_delta_here(rows: list[dict[str, Any]]) -> Table:
    folder = named(rows)
    if not Path(folder).is_dir():
        place_delta(rows, folder, None)
    return read(folder)


def place_delta_s3(rows: list[dict[str, Any]], ask: Callable[[str], Any]) -> Table:
    server: S3 = ask("s3")
    ask("monkeypatch").setenv("ORRERY_CONNECTION__LAKE", server.connection())
    options = {
        "aws_access_key_id": KEY,
        "aws_secret_access_key": SECRET,
        "aws_endpoint": f"http://127.0.0.1:{server.port}",
        "aws_allow_http": "true",
        "aws_region": "us-east-1",
    }
    where = f"s3://lake/{named(rows)}"
    if not server.system().exists(f"{where}/_delta_log"):
        place_delta(rows, where, options)
    return read(where, connection="lake")


def place_iceberg(rows: list[dict[str, Any]]) -> Table:
    """A table from which a row was deleted, and to which a column was added and taken away."""
    home = Path("iceberg").absolute()
    home.mkdir(exist_ok=True)
    catalog = SqlCatalog("local", uri=f"sqlite:///{home}/catalog.db", warehouse=f"file://{home}")
    catalog.create_namespace_if_not_exists("shop")
    name = f"shop.{named(rows)}"
    if catalog.table_exists(name):
        table = catalog.load_table(name)
    else:
        table = catalog.create_table(name, schema=ARROW.schema)
        table.append(arrow_of([*rows, {**dict.fromkeys(ARROW.column_names), "id": -5}]))
        table.delete("id == -5")
    catalog.engine.dispose()
    return read(table.metadata_location)


PLACES = {
    "delta": lambda rows, ask: place_delta_here(rows),
    "delta on s3": place_delta_s3,
    "iceberg": lambda rows, ask: place_iceberg(rows),
}
