"""DuckDB files: types, push-down, and what goes wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from orrery.data.table import Table, read
from orrery.errors import SchemaError, SettingsError, SourceError


@pytest.fixture
def shop() -> str:
    with duckdb.connect("shop.db") as link:
        link.execute(
            "create table sales as select i as id, i % 3 as kind, i * 0.5 as price from range(1000) t(i)"
        )
        link.execute("create schema old; create table old.sales as select 7 as id")
    return "duckdb:///shop.db"


def test_types_are_kept() -> None:
    with duckdb.connect("types.duckdb") as link:
        link.execute("set TimeZone = 'UTC'")
        link.execute(
            "create table t as select 1::tinyint as i, 1.50::decimal(10, 2) as d, 'x'::enum('x', 'y') as e, "
            "timestamptz '2024-01-02 03:04:05+00' as at, date '2024-01-02' as day, [1, 2] as l, "
            "[1.0, 2.0]::float[2] as v, {'a': 1, 'b': 'x'} as s, 'ab'::blob as bytes, true as yes, "
            "interval 2 day as wait, 170::hugeint as h, null::integer as n"
        )
    table = read("types.duckdb")
    assert {f.name: f.type for f in table.schema.fields} == {
        "i": "int8",
        "d": "decimal128(10, 2)",
        "e": "string",
        "at": "timestamp[us, tz=UTC]",
        "day": "date32[day]",
        "l": "list<l: int32>",
        "v": "fixed_size_list<: float>[2]",
        "s": "struct<a: int32, b: string>",
        "bytes": "binary",
        "yes": "bool",
        "wait": "string",
        "h": "decimal128(38, 0)",
        "n": "int32",
    }
    (row,) = table.to_rows()
    assert row["at"] == dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert (row["e"], row["l"], row["s"], row["wait"]) == ("x", [1, 2], {"a": 1, "b": "x"}, "2 days")


def test_conditions_and_queries_are_answered_there(shop: str) -> None:
    table = read(shop, table="sales").where("lower(cast(kind as text)) = '2' and price < 10").select("id")
    assert "there" in str(table.explain())
    assert [row["id"] for row in table.to_rows()] == [2, 5, 8, 11, 14, 17]
    assert table.source.bytes_read < 100  # type: ignore[attr-defined]
    answer = read(shop, table="sales").where("id < 9").sql("select kind, count(*) as n from this group by 1")
    assert sorted(row["kind"] for row in answer.to_rows()) == [0, 1, 2]
    assert answer.explain().bytes_read != 0
    assert read(shop, table="old.sales").to_rows() == [{"id": 7}]
    assert read(shop, query="select sum(id) as s from sales").to_rows() == [{"s": 499500}]


def test_what_is_wrong_is_told(shop: str) -> None:
    with pytest.raises(SettingsError, match=r"old\.sales"):
        read(shop).count()
    with pytest.raises(SourceError, match="has no table 'sale'"):
        read(shop, table="sale").count()
    with pytest.raises(SourceError, match=r"There is no database"):
        read("duckdb:///shopp.db", table="sales").count()
    Path("junk.duckdb").write_bytes(b"no database" * 1000)
    with pytest.raises(SourceError, match=r"junk\.duckdb"):
        read("junk.duckdb").count()
    with pytest.raises(SettingsError, match="one SELECT"):
        read(shop, query="drop table sales").count()


def test_a_query_reaches_no_other_file(shop: str) -> None:
    Path("secret.csv").write_text("a\n1\n")
    for query in ("select * from read_csv('secret.csv')", "select * from 'secret.csv'"):
        with pytest.raises((SourceError, SettingsError)):
            read(shop, query=query).to_rows()
        with pytest.raises((SourceError, SettingsError, SchemaError)):
            read(shop, table="sales").sql(query).to_rows()


def test_the_plan_reads_the_same_rows(shop: str) -> None:
    table = read(shop, table="sales").where("id >= 998")
    assert [row["id"] for row in Table.from_dict(table.to_dict()).to_rows()] == [998, 999]
