"""Connections that drop, crawl or fall silent, through a proxy before real servers: each row exactly once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from tests.servers.postgresql import Server
from tests.servers.proxy import Proxy, proxy

from orrery.data.source import Partition
from orrery.data.table import Table, read

ROWS = 1_000_000


def through(server: Any, other: Proxy) -> str:
    """A server's address by way of a proxy."""
    return str(server.url).replace(f":{server.port}/", f":{other.port}/")


def read_parts(table: Table) -> list[Any]:
    """All parts, read at the same time; one Arrow table each, in the parts' order."""
    source = table.source
    schema = source.schema().arrow()

    def rows_of(part: Partition) -> Any:
        return pa.Table.from_batches(list(source.read(part)), schema)

    parts = source.partitions()
    with ThreadPoolExecutor(len(parts)) as pool:
        return list(pool.map(rows_of, parts))


@pytest.fixture(scope="module")
def million(postgresql: Server) -> Server:
    with psycopg.connect(postgresql.url, autocommit=True) as link:
        link.execute(
            "create table million as select g::bigint as id, g * 0.5 as half, 'name ' || g as name, "
            f"case when g % 7 > 0 then g % 7 end as k from generate_series(1, {ROWS}) g order by random()"
        )
        link.execute("alter table million add primary key (id)")
        link.execute("analyze million")
    return postgresql


@pytest.mark.slow
def test_a_million_rows_of_postgresql_come_once_each_through_a_bad_network(million: Server) -> None:
    with proxy(million.port, 200_000, 8_000_000, delay_s=0.02, stall_share=0.1, seed=4) as bad:
        table = read(through(million, bad), table="million", parts=4, read_timeout_s=1.0)
        parts = read_parts(table)
        assert bad.dropped >= 5
        assert bad.stalled >= 1
    ids = pa.chunked_array([chunk for part in parts for chunk in part["id"].chunks])
    assert ids.to_numpy().tolist() == list(range(1, ROWS + 1))
    assert len(parts) == 4
    assert min(part.num_rows for part in parts) > ROWS // 8
    direct = read(million.url, table="million").to_arrow()
    assert pa.concat_tables(parts).equals(direct)
    assert not [t.name for t in threading.enumerate() if t.name == "orrery-silence"]
