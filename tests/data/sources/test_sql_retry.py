"""Connections that drop, crawl or fall silent, through a proxy before real servers: each row exactly once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.servers.postgresql import Server
from tests.servers.proxy import Proxy, proxy

from orrery.aggregate import RecordBatch
from orrery.data.source import Partition
from orrery.data.sources import sql_retry
from orrery.data.sources.sql_retry import Lost, resumed
from orrery.data.table import Table, read
from orrery.errors import SourceError

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


def nobody_reads(link: Any) -> bool:
    """Whether the server has no more connections of ours, as soon as it knows of those that we closed."""
    asked = "select count(*) from pg_stat_activity where application_name = 'orrery'"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if link.execute(asked).fetchone() == (0,):
            return True
    return False


@pytest.fixture(scope="module")
def million(postgresql: Server) -> Server:
    with psycopg.connect(postgresql.url, autocommit=True) as link:
        link.execute(
            "create table million as select g::bigint as id, g / 2e0 as half, 'name ' || g as name, "
            f"case when g % 7 > 0 then g % 7 end as k from generate_series(1, {ROWS}) g order by random()"
        )
        link.execute("alter table million add primary key (id)")
        link.execute("analyze million")
    return postgresql


@pytest.mark.slow
def test_a_million_rows_of_postgresql_come_once_each_through_a_bad_network(million: Server) -> None:
    with proxy(million.port, 200_000, 8_000_000, delay_s=0.02, stall_share=0.1, seed=4) as bad:
        table = read(through(million, bad), table="million", parts=4, read_timeout_s=2.0)
        parts = read_parts(table)
        assert bad.dropped + bad.stalled >= 5  # which of both is by chance, and by the order of connections
    ids = pa.chunked_array([chunk for part in parts for chunk in part["id"].chunks])
    assert ids.to_numpy().tolist() == list(range(1, ROWS + 1))
    assert len(parts) == 4
    assert min(part.num_rows for part in parts) > ROWS // 8
    direct = read(million.url, table="million").to_arrow()
    assert pa.concat_tables(parts).equals(direct)
    assert not [t.name for t in threading.enumerate() if t.name == "orrery-silence"]


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(0, 60), st.integers(1, 7))
def test_reading_goes_on_at_the_very_next_row(cuts: list[int], rows: int, batch: int) -> None:
    """Connections that break after so many rows each, some of them in the middle of a batch."""
    breaks = iter(cuts)

    def stream(last: Any) -> Iterator[RecordBatch]:
        ids = list(range(0 if last is None else last + 1, rows))
        left = next(breaks, None)
        for start in range(0, len(ids), batch):
            some = ids[start : start + batch]
            if left is not None and start + len(some) > left:
                raise Lost("cut")
            yield pa.record_batch({"id": pa.array(some, pa.int64())})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql_retry, "_PAUSE_S", 0.0)
        patch.setattr(sql_retry, "_ATTEMPTS", 100)
        patch.setattr(sql_retry, "_FIRST_ATTEMPTS", 100)
        found = [i for b in resumed("here", stream, "id", lambda: True) for i in b["id"].to_pylist()]
    assert found == list(range(rows))


@pytest.mark.parametrize(("key", "unique"), [(None, True), ("id", False)])
def test_rows_that_nobody_could_tell_apart_are_not_guessed(key: str | None, unique: bool) -> None:
    def stream(last: Any) -> Iterator[RecordBatch]:
        yield pa.record_batch({"id": [1, 2, 2]})
        raise Lost("hung up")

    found = resumed("db://here", stream, key, lambda: unique)
    assert next(found).num_rows == 3
    with pytest.raises(SourceError, match=r"db://here: after 3 rows .*hung up.*split_on"):
        next(found)


def test_a_place_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_retry, "_PAUSE_S", 0.0)

    def stream(last: Any) -> Iterator[RecordBatch]:
        raise Lost("nobody there")
        yield

    with pytest.raises(SourceError, match="lost 4 times in a row: nobody there"):
        list(resumed("db://here", stream, "id", lambda: True))


def test_a_silent_connection_is_found_by_its_deadline(million: Server) -> None:
    with proxy(million.port, 5_000_000, 5_000_000, stall_share=1.0) as mute:
        batches = read(through(million, mute), query="select * from million", read_timeout_s=1.5).batches()
        with pytest.raises(SourceError, match=r"silent for 1\.5 s.*split_on"):
            for _ in batches:
                pass
        assert mute.stalled == 1


def test_all_parts_are_of_one_moment(million: Server) -> None:
    table = read(million.url, table="million", parts=3)
    parts = table.source.partitions()
    first = sum(batch.num_rows for batch in table.source.read(parts[0], ["id"]))
    with psycopg.connect(million.url, autocommit=True) as link:
        link.execute("update million set name = 'changed' where id = 999999")
        link.execute("insert into million (id) values (2000000)")
        try:
            later = [b for part in parts[1:] for b in table.source.read(part, ["id", "name"])]
            seen = [name for b in later for name in b["name"].to_pylist() if name == "changed"]
            assert (first + sum(b.num_rows for b in later), seen) == (ROWS, [])
            assert table.count() == ROWS + 1
            assert table.select("id").to_arrow().num_rows == ROWS + 1
            parts = ()
            assert nobody_reads(link)
        finally:
            link.execute("delete from million where id = 2000000")
            link.execute("update million set name = 'name 999999' where id = 999999")


def test_a_read_that_is_given_up_leaves_nothing(million: Server) -> None:
    before = threading.active_count()
    batches = read(million.url, table="million", parts=2).batches(100)
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() == before
    with psycopg.connect(million.url, autocommit=True) as link:
        assert nobody_reads(link)


def test_keys_that_are_not_unique_or_missing_are_cut_too(million: Server) -> None:
    table = read(million.url, query="select id, k from million where id <= 1000", split_on="k", parts=3)
    parts = read_parts(table)
    keys = [key for part in parts for key in part["k"].to_pylist()]
    assert (
        keys == [k for i in range(1, 7) for k in [i] * sum(g % 7 == i for g in range(1, 1001))] + [None] * 142
    )
    assert sorted(i for part in parts for i in part["id"].to_pylist()) == list(range(1, 1001))
