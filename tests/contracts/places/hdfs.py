"""Files on HDFS, over WebHDFS."""

from __future__ import annotations

import getpass
from typing import Any
from uuid import uuid4

from tests.contracts.rows import SIZE, arrow_of
from tests.servers.hadoop import Hadoop

from orrery.data.table import Table, read


def place_hdfs(rows: list[dict[str, Any]], server: Hadoop, form: str, monkeypatch: Any) -> Table:
    login = server.url.replace("://", f"://{getpass.getuser()}@")
    monkeypatch.setenv("ORRERY_CONNECTION__HADOOP", login)
    place = f"{server.url}/{uuid4().hex}/rows.{form}?connection=hadoop"
    read(arrow_of(rows)).write(place)
    return read(place, **({} if form == "parquet" else {"types": {"id": "int64", SIZE: "double"}}))


PLACES = {
    "hdfs parquet": lambda rows, ask: place_hdfs(rows, ask("hadoop"), "parquet", ask("monkeypatch")),
    "hdfs csv.gz": lambda rows, ask: place_hdfs(rows, ask("hadoop"), "csv.gz", ask("monkeypatch")),
}
