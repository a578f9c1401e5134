"""Files on other machines: S3 and web servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.contracts.rows import SIZE, arrow_of
from tests.servers.web import Web

from orrery.data.table import Table, read


def place_s3(rows: list[dict[str, Any]], form: str, ask: Callable[[str], Any]) -> Table:
    ask("monkeypatch").setenv("ORRERY_CONNECTION__LAKE", ask("s3").connection())
    place = f"s3://lake/{uuid4().hex}/rows.{form}?connection=lake"
    read(arrow_of(rows)).write(place)
    pinned = {} if form == "parquet" else {"types": {"id": "int64", SIZE: "double"}}
    return read(place, **pinned)


def place_web(rows: list[dict[str, Any]], site: Web, form: str) -> Table:
    read(arrow_of(rows)).write(f"rows.{form}")
    site.files[f"/rows.{form}"] = Path(f"rows.{form}").read_bytes()
    pinned = {} if form == "parquet" else {"types": {"id": "int64", SIZE: "double"}}
    return read(f"{site.url}/rows.{form}", **pinned)


PLACES = {
    "s3 parquet": lambda rows, ask: place_s3(rows, "parquet", ask),
    "s3 csv.gz": lambda rows, ask: place_s3(rows, "csv.gz", ask),
    "http parquet": lambda rows, ask: place_web(rows, ask("site"), "parquet"),
    "http csv": lambda rows, ask: place_web(rows, ask("site"), "csv"),
}
