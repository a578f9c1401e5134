"""SQLite: types decided on the whole column, rows read in place, a database that goes away."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from orrery.data.table import read
from orrery.errors import BadRowError, SchemaError, SettingsError, SourceError


def database(create: str, rows: Iterable[tuple[Any, ...]], name: str = "t.db") -> str:
    link = sqlite3.connect(name)
    link.execute(create)
    found = list(rows)
    if found:
        link.executemany(f"insert into t values ({', '.join('?' * len(found[0]))})", found)
    link.commit()
    link.close()
    return f"sqlite:///{name}"


@pytest.mark.parametrize(
    ("declared", "values", "kind"),
    [
        ("integer", [1, None], "int64"),
        ("", [1, 2.5], "double"),
        ("text", ["x", None], "string"),
        ("blob", [b"x"], "binary"),
        ("date", ["2020-01-02", None], "date32[day]"),
        ("date", ["2020-01-02", "soon"], "string"),
        ("timestamp", ["2020-01-02 03:04:05", "2020-01-02T03:04:05.25"], "timestamp[us]"),
        ("datetime", ["2020-01-02 03:04:05Z"], "string"),
        ("boolean", [0, 1, None], "bool"),
        ("boolean", [0, 2], "int64"),
        ("integer", [None], "int64"),
        ("varchar(3)", [], "string"),
        ("double", [], "double"),
    ],
)
def test_types_come_from_all_values(declared: str, values: list[Any], kind: str) -> None:
    table = read(database(f"create table t (v {declared})", [(v,) for v in values]))
    assert table.schema["v"].type == kind
    assert table.count() == len(values)
    assert [row["v"] is None for row in table.to_rows()] == [v is None for v in values]


def test_values_of_another_sort_are_bad_rows_or_a_mixed_column() -> None:
    few = read(database("create table t (v)", [(i,) for i in range(99)] + [("x",)]))
    with pytest.raises(BadRowError, match=r"t.db:100: column 'v': 'x' is not int64"):
        few.count()
    aside = read("sqlite:///t.db", on_bad="quarantine")
    assert (aside.count(), aside.where("v < 10").count(), aside.quarantined().count()) == (99, 10, 1)
    assert aside.sql("select count(*) as n from this").to_rows() == [{"n": 99}]
    mixed = read(database("create table t (v)", [(1,), ("x",)], "m.db"))
    with pytest.raises(SchemaError, match="1 int, 1 text"):
        mixed.count()
    assert read("sqlite:///m.db", types={"v": "string"}).to_rows() == [{"v": "1"}, {"v": "x"}]


def test_what_is_read_can_be_chosen() -> None:
    place = database('create table t (a integer, "b c" text)', [(i, f"x{i}") for i in range(10)])
    assert read(place, table="t").count() == 10
    assert read("t.db").count() == 10
    assert read(place, query='select "b c" as b from t where a > 7 -- the last').to_rows() == [
        {"b": "x8"},
        {"b": "x9"},
    ]
    link = sqlite3.connect("t.db")
    link.execute("create table other (a)")
    link.commit()
    link.close()
    with pytest.raises(SettingsError, match="'other', 't'"):
        read(place).count()
    with pytest.raises(SourceError, match="Did you mean 'other'"):
        read(place, table="othr").count()
    for query in ("delete from t", "select 1; select 2", "pragma journal_mode = delete"):
        with pytest.raises(SettingsError):
            read(place, query=query).count()
    with pytest.raises(SourceError, match="no such column"):
        read(place, query="select z from t").count()
    with pytest.raises(SourceError, match="no database"):
        read("sqlite:///absent.db").count()


def test_conditions_are_handed_down_only_where_they_mean_the_same() -> None:
    place = database("create table t (a integer, b text collate nocase)", [(1, "X"), (2, "x"), (3, None)])
    assert read(place).where("b = 'x'").to_rows() == [{"a": 2, "b": "x"}]
    assert read(place).where("b <> 'x'").to_rows() == [{"a": 1, "b": "X"}]
    assert read(place).where("b like 'x'").to_rows() == [{"a": 2, "b": "x"}]
    assert "there" in str(read(place).where("a > 1").explain())
    assert "there" not in str(read(place).where("a / 2 > 1").explain())


def test_queries_are_answered_by_the_database() -> None:
    table = read(database("create table t (a integer, b text)", [(i, "xy"[i % 2]) for i in range(10)]))
    answer = table.where("a > 3").sql(
        "with q as (select * from this) select b, sum(a) s from q group by b order by b"
    )
    assert answer.to_rows() == [{"b": "x", "s": 18}, {"b": "y", "s": 21}]
    assert answer._pipeline.steps == ()


def test_the_database_cannot_be_written_and_may_be_read_only() -> None:
    place = database("create table t (a integer)", [(1,)])
    Path("t.db").chmod(0o400)
    assert read(place).count() == 1
    assert read(f"sqlite:////{Path('t.db').absolute().as_posix().lstrip('/')}").count() == 1


def test_a_file_that_is_no_database_is_told() -> None:
    Path("t.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(SourceError, match="not a database"):
        read("sqlite:///t.db").count()


def test_a_database_cut_short_half_way_is_told() -> None:
    place = database("create table t (a integer, b text)", [(i, "x" * 500) for i in range(20_000)])
    table = read(place)
    _ = table.schema
    batches = table.batches(100)
    next(batches)
    with Path("t.db").open("r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(SourceError, match=r"t\.db"):
        for _ in batches:
            pass


def test_large_pictures_come_few_at_a_time() -> None:
    table = read(database("create table t (b blob)", [(b"x" * 1_000_000,) for _ in range(150)]))
    sizes = [batch.nbytes for batch in table.source.read(table.source.partitions()[0])]
    assert sum(sizes) > 150_000_000
    assert max(sizes[1:]) < 70_000_000


def test_parts_lose_and_double_nothing_and_bad_rows_keep_their_number() -> None:
    rows = [(i, None if i % 50 == 0 else "x'é"[i % 3] * (i % 5), i) for i in range(200)]
    place = database("create table t (id integer primary key, name text collate nocase, v)", rows)
    whole = read(place).to_rows()
    assert [row["id"] for row in whole] == list(range(200))
    assert read(place, parts=4).to_rows() == whole
    names = read(place, split_on="name", parts=4)
    assert len(names.source.partitions()) > 2
    assert sorted(row["id"] for row in names.to_rows()) == list(range(200))
    link = sqlite3.connect("t.db")
    link.execute("update t set v = 'bad' where id = 150")
    link.commit()
    link.close()
    with pytest.raises(BadRowError, match=r"t.db:151: column 'v'"):
        read(place, parts=4).to_rows()


def test_parts_are_of_one_moment() -> None:
    place = database("create table t (id integer primary key)", [(i,) for i in range(20_000)])
    link = sqlite3.connect("t.db")
    link.execute("pragma journal_mode = wal")
    source = read(place, parts=4).source
    parts = source.partitions()
    readings = [source.read(part) for part in parts]
    found = next(readings[0])["id"].to_pylist()
    link.execute("update t set id = id + 100000 where id < 2000")
    link.execute("update t set id = id - 200000 where id between 18000 and 20000")
    link.commit()
    for reading in readings:
        found += [i for batch in reading for i in batch["id"].to_pylist()]
    assert sorted(found) == list(range(20_000))
    later = [
        i for part in source.partitions() for batch in source.read(part) for i in batch["id"].to_pylist()
    ]
    assert (len(later), min(later)) == (20_000, -182_000)
    del parts, reading, readings
    link.execute("pragma journal_mode = delete")  # nobody holds the file
    link.close()
