"""MySQL's protocol, a real MariaDB: types kept, work handed down, secrets kept, bad input told."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import threading
from typing import Any

import pytest
from tests.data.sources.test_sql_retry import read_parts, through
from tests.servers.mariadb import MariaDb, running
from tests.servers.proxy import proxy

from orrery.data.table import Table, read
from orrery.errors import OrreryError, SchemaError, SourceError

CREATE = """
create table things (
  i int, u int unsigned, b bigint, bu bigint unsigned, s smallint, ti tinyint, m mediumint, y year,
  n decimal(12, 3), big decimal(60, 20), f float, d double, yes boolean, odd tinyint(1),
  bit1 bit(1), bits bit(12), t text, v varchar(9), c char(4), e enum('x', 'a'), j json, bl blob,
  vb varbinary(4), da date, ts timestamp null, dtm datetime(6), ho time(3), `weird `` " 名` int
) character set utf8mb4
"""
ROW = (
    "({i}, 4294967295, {i} * 10000000000, 18446744073709551615, {i}, -{i}, {i}, 2020 + {i}, {i} * 1.125, "
    "'123456789012345678901234567890.5', 0.1234567, {i} / 3e0, {i} % 2, {i}, b'1', b'101010101010', "
    "'text {i} 😀', 'v', 'c', 'x', '{{\"a\": 1}}', x'00ff27', x'ff', '2020-01-0{i}', "
    "'2020-01-0{i} 10:00:00', '2020-01-01 00:00:0{i}.000001', '10:11:12.500', {i})"
)


@pytest.fixture(scope="module")
def things(mariadb: MariaDb) -> Table:
    link = mariadb.connect()
    with link, link.cursor() as cursor:
        cursor.execute(CREATE)
        cursor.execute("set time_zone = '+00:00'")
        cursor.execute("insert into things values " + ", ".join(ROW.format(i=i) for i in range(1, 6)))
        cursor.execute("insert into things () values ()")
    return read(mariadb.url, table="things")


def test_names_may_have_line_ends_and_look_like_keys(mariadb: MariaDb) -> None:
    link = mariadb.connect()
    with link, link.cursor() as cursor:
        columns = "`a\nb` decimal(5, 2) not null, `e\n  PRIMARY KEY (``z``)` int, z int, key k (`a\nb`)"
        cursor.execute(f"create table odd (i int primary key, {columns})")
        cursor.execute("insert into odd values (1, 1.5, 7, 8), (2, 2.5, 8, null)")
    table = read(mariadb.url, table="odd")
    assert table.schema["a\nb"].type == "decimal128(5, 2)"
    assert table.where("z = 8").to_rows() == [
        {"i": 1, "a\nb": decimal.Decimal("1.50"), "e\n  PRIMARY KEY (`z`)": 7, "z": 8}
    ]
    parts = read_parts(read(mariadb.url, table="odd", parts=2))
    assert [row for part in parts for row in part.to_pylist()] == table.to_rows()


def test_types_are_kept(things: Table) -> None:
    assert {f.name: f.type for f in things.schema.fields} == {
        "i": "int32", "u": "uint32", "b": "int64", "bu": "uint64", "s": "int16", "ti": "int8", "m": "int32",
        "y": "int16", "n": "decimal128(12, 3)", "big": "decimal256(60, 20)", "f": "float", "d": "double",
        "yes": "bool", "odd": "int8", "bit1": "bool", "bits": "uint64", "t": "string", "v": "string",
        "c": "string", "e": "string", "j": "string", "bl": "binary", "vb": "binary", "da": "date32[day]",
        "ts": "timestamp[us, tz=UTC]", "dtm": "timestamp[us]", "ho": "time64[us]", 'weird ` " 名': "int32",
    }  # fmt: skip
    first, *_, last = things.to_rows()
    assert first == {
        "i": 1, "u": 2**32 - 1, "b": 10**10, "bu": 2**64 - 1, "s": 1, "ti": -1, "m": 1, "y": 2021,
        "n": decimal.Decimal("1.125"), "big": decimal.Decimal("123456789012345678901234567890.5"),
        "f": pytest.approx(0.1234567, abs=1e-8), "d": 1 / 3, "yes": True, "odd": 1, "bit1": True,
        "bits": 0b101010101010, "t": "text 1 😀", "v": "v", "c": "c", "e": "x", "j": '{"a": 1}',
        "bl": b"\x00\xff'", "vb": b"\xff", "da": dt.date(2020, 1, 1),
        "ts": dt.datetime(2020, 1, 1, 10, tzinfo=dt.UTC), "dtm": dt.datetime(2020, 1, 1, 0, 0, 1, 1),
        "ho": dt.time(10, 11, 12, 500_000), 'weird ` " 名': 1,
    }  # fmt: skip
    assert set(last.values()) == {None}


@pytest.mark.parametrize(
    ("condition", "ids", "there"),
    [
        ("i > 2", [3, 4, 5], True),
        ("n > 1.2 and v = 'v' and i < 4", [2, 3], True),
        ("v = 'V'", [], True),
        ("v <> 'V' and i = 1", [1], True),
        ("t = 'text 3 😀'", [3], True),
        ("da >= '2020-01-04'", [4, 5], True),
        ("dtm < '2020-01-01 00:00:02'", [1], True),
        ("ts > '2020-01-04 00:00:00'", [4, 5], True),
        ("ts > timestamp '2020-01-04'", [4, 5], True),
        ("dtm = timestamp '2020-01-01 00:00:02.000001'", [2], True),
        ("dtm between timestamp '2020-01-01 00:00:02' and '2020-01-01 00:00:04'::timestamp", [2, 3], True),
        ("da in (date '2020-01-02', date '2020-01-05')", [2, 5], True),
        ("ts > date '2020-01-04 23:00:00'", [4, 5], False),
        ("ts > timestamptz '2020-01-04 00:00:00+00'", [4, 5], False),
        ("bu is null", [None], True),
        ('"weird ` "" 名" in (2, 4)', [2, 4], True),
        ("yes and i < 4", [1, 3], True),
        ("lower(t) like '%3%'", [3], False),
        ("t > 'text 3 😀'", [4, 5], False),
    ],
)
def test_conditions_are_handed_down(
    things: Table, condition: str, ids: list[int | None], there: bool
) -> None:
    table = things.where(condition)
    assert [row["i"] for row in table.select("i").to_rows()] == ids
    assert table.count() == len(ids)
    assert bool(table.source.pushed(condition)) is there  # type: ignore[attr-defined]


def test_queries_are_answered_by_the_server(things: Table) -> None:
    answer = things.where("i > 1").select("i", "v").sql("select count(*) as n, max(i) as m from this")
    assert answer.to_rows() == [{"n": 4, "m": 5}]
    assert answer._pipeline.steps == ()


def test_the_order_of_a_query_is_kept(mariadb: MariaDb, things: Table) -> None:
    table = read(mariadb.url, query="select i, v from things where i is not null order by i desc")
    assert [row["i"] for row in table.select("i").where("i < 5").to_rows()] == [4, 3, 2, 1]


@pytest.mark.parametrize("key", ["id", "name", "price", "day", "moment"])
def test_parts_lose_and_double_nothing(mariadb: MariaDb, key: str) -> None:
    link = mariadb.connect()
    with link, link.cursor() as cursor:
        cursor.execute(
            "create table if not exists cut (id int, name varchar(20), price decimal(9, 2), day date, "
            "moment datetime(6)) character set utf8mb4 select if(seq % 50, seq * seq, null) as id, "
            "if(seq % 50, concat('o''', seq % 90, '\\\\'), null) as name, "
            "if(seq % 50, seq / 7, null) as price, "
            "if(seq % 50, date '2020-01-01' + interval seq % 300 day, null) as day, "
            "if(seq % 50, timestamp'2020-01-01 00:00:00' + interval seq * 1500 microsecond, null) as moment "
            "from seq_1_to_1000"
        )
    whole = read(mariadb.url, query=f"select * from cut order by {key} is null, {key}").to_rows()
    table = read(mariadb.url, table="cut", split_on=key, parts=4)
    parts = read_parts(table)
    found = [row for part in parts for row in part.to_pylist()]
    assert [row[key] for row in found] == [row[key] for row in whole]
    assert sorted(map(repr, found)) == sorted(map(repr, whole))
    assert len(parts) == 5
    assert parts[-1].num_rows == 20
    assert max(part.num_rows for part in parts) < 400


def test_parts_are_of_one_moment_however_they_are_read(mariadb: MariaDb) -> None:
    link = mariadb.connect()
    with link, link.cursor() as cursor:
        cursor.execute(
            "create or replace table moved (id int primary key, x varchar(1000)) "
            "select seq as id, repeat('x', 1000) as x from seq_1_to_20000"
        )
        link.commit()
        source = read(mariadb.url, table="moved", parts=4).source
        parts = source.partitions()
        readings = [source.read(part, ["id", "x"]) for part in parts]
        given_up = source.read(parts[1])
        first = next(readings[0]), next(given_up)
        given_up.close()  # type: ignore[attr-defined]  # a generator
        cursor.execute("update moved set id = id + 100000 where id <= 2000")
        cursor.execute("update moved set id = id - 200000 where id between 18001 and 20000")
        link.commit()
        found = first[0]["id"].to_pylist()
        while readings:  # in turns
            for reading in list(readings):
                batch = next(reading, None)
                found += batch["id"].to_pylist() if batch is not None else []
                if batch is None:
                    readings.remove(reading)
        assert sorted(found) == list(range(1, 20_001))
        assert sum(batch.num_rows for part in source.partitions() for batch in source.read(part)) == 20_000
        side_by_side = read_parts(read(mariadb.url, table="moved", parts=4))
        assert len({i for part in side_by_side for i in part["id"].to_pylist()}) == 20_000


def test_what_cannot_be_a_key_is_told(mariadb: MariaDb, things: Table) -> None:
    for key, says in (("d", "which is double"), ("bl", "which is binary"), ("t", "beginning only")):
        with pytest.raises(SchemaError, match=says):
            read(mariadb.url, table="things", split_on=key, parts=2).source.partitions()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "one of them; the tables are"),
        ({"table": "thing"}, "Did you mean 'things'"),
        ({"query": "select nope from things"}, "Unknown column 'nope'"),
        ({"query": "select i,\nfrom things"}, "at line 2"),
        ({"query": "drop table things"}, "must be one SELECT"),
        ({"query": "select 1 as a, 2 as a"}, "[Dd]uplicate column name 'a'"),
        ({"table": "things", "parts": 2}, "no single whole primary key"),
        ({"table": "things", "parts": 0}, "allowed is 1 or more"),
    ],
)
def test_what_cannot_be_asked_is_told(
    mariadb: MariaDb, things: Table, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(OrreryError, match=says):
        read(mariadb.url, **settings).to_rows()


def test_the_password_is_never_shown(mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = mariadb.password
    table = read(mariadb.url, query="select 1 as a")
    shown = [repr(table), json.dumps(table.to_dict()), str(table.explain()), table._repr_html_()]
    for wrong in (mariadb.url.replace(secret, "wrong-secret"), mariadb.url.replace("/test", "/nowhere")):
        with pytest.raises(SourceError, match=r"127\.0\.0\.1") as caught:
            read(wrong, query="select 1 as a").count()
        shown.append(str(caught.value))
    assert "Access denied" in shown[-2]
    assert "nowhere" in shown[-1]
    assert not [text for text in shown if secret in text or "wrong-secret" in text]
    monkeypatch.setenv("ORRERY_CONNECTION__MARIA", mariadb.url)
    named = read("mysql://?connection=maria", query="select 1 as a")
    assert named.to_rows() == [{"a": 1}]
    assert Table.from_dict(named.to_dict()).to_rows() == [{"a": 1}]
    assert secret not in repr(named) + json.dumps(named.to_dict())


def test_nothing_can_be_written(mariadb: MariaDb, things: Table) -> None:
    with pytest.raises(SourceError, match="READ ONLY"):
        read(mariadb.url, table="things").source._driver.ask(  # type: ignore[attr-defined]  # of Sql
            lambda link: link.exec_driver_sql("delete from things")
        )


def test_a_column_that_changed_while_it_was_read_is_told(mariadb: MariaDb) -> None:
    link = mariadb.connect()
    with link, link.cursor() as cursor:
        cursor.execute("create table moving (id int primary key, a boolean, b int)")
        cursor.execute("insert into moving values (1, 1, 1)")
        table = read(mariadb.url, table="moving")
        assert table.schema["a"].type == "bool"
        cursor.execute("update moving set a = 2")
        with pytest.raises(SourceError, match="column 'a': not a bool"):
            table.to_rows()
        cursor.execute("alter table moving drop column b")
        with pytest.raises(SourceError, match="Unknown column 'b'"):
            table.select("b").to_rows()


def test_a_read_can_be_given_up_at_any_moment(mariadb: MariaDb) -> None:
    before = threading.active_count()
    table = read(mariadb.url, query="select seq, repeat('x', 1000) as x from seq_1_to_10000000")
    batches = table.batches(100)
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() == before


def test_a_server_that_goes_away_half_way_is_told() -> None:
    with running() as server:
        batches = read(server.url, query="select seq, repeat('x', 1000) as x from seq_1_to_2000000").batches()
        next(batches)
        server.stop()
        with pytest.raises(SourceError, match="cannot be told"):
            for _ in batches:
                pass
        with pytest.raises(SourceError, match=r"127\.0\.0\.1"):
            read(server.url, query="select 1 as a").count()
        server.start()
        assert read(server.url, query="select 1 as a").count() == 1


@pytest.mark.slow
def test_rows_of_mariadb_come_once_each_through_a_bad_network(mariadb: MariaDb) -> None:
    link = mariadb.connect()
    with link, link.cursor() as cursor:
        cursor.execute(
            "create table many (id bigint primary key, half double, name varchar(40)) "
            "select seq as id, seq / 2e0 as half, concat('name ', seq) as name from seq_1_to_200000"
        )
    with proxy(mariadb.port, 100_000, 3_000_000, delay_s=0.02, stall_share=0.1, seed=3) as bad:
        table = read(through(mariadb, bad), table="many", parts=3, read_timeout_s=2.0)
        parts = read_parts(table)
        assert bad.dropped >= 3
    found = [row for part in parts for row in part["id"].to_pylist()]
    assert found == list(range(1, 200_001))
    assert [n for part in parts for n in part["name"].to_pylist()] == [f"name {i}" for i in found]
