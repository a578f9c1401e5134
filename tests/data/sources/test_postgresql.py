"""PostgreSQL, a real server: types kept, secrets kept, work handed down, a server that goes away."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import Any

import psycopg
import pytest
from tests.servers.postgresql import Server, running

from orrery.data.table import Table, read
from orrery.errors import OrreryError, SettingsError, SourceError

CREATE = """
create type mood as enum ('good', 'bad');
create schema shop;
create table shop.things (
  i int, b bigint, s smallint, n numeric(12, 3), u numeric, f float8, r real, t text, v varchar(9), c char(4),
  d date, ts timestamp, tz timestamptz, ti time, bo bool, by bytea, j jsonb, uu uuid, m mood,
  ia int[], ta text[], na numeric[], "weird "" 名 😀" int
);
insert into shop.things select g, g * 10000000000, g, g * 1.125, g / 4.0, g / 3.0, g / 4.0,
  'text ' || g, 'v', 'c',
  date '2020-01-01' + g, timestamp '2020-01-01' + g * interval '1 hour', timestamptz '2020-01-01 00:00+02',
  time '10:00', g % 2 = 0, '\\x00ff', '{"a": 1}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'good',
  array[g, null], array['x', 'y'], array[1.5, g], g from generate_series(1, 5) g;
insert into shop.things default values;
"""


@pytest.fixture(scope="module")
def things(postgresql: Server) -> Table:
    with psycopg.connect(postgresql.url, autocommit=True) as link:
        link.execute(CREATE)
    return read(postgresql.url, table="shop.things")


def test_types_are_kept(things: Table) -> None:
    assert {f.name: f.type for f in things.schema.fields} == {
        "i": "int32", "b": "int64", "s": "int16", "n": "decimal128(12, 3)", "u": "decimal128(21, 20)",
        "f": "double", "r": "float", "t": "string", "v": "string", "c": "string", "d": "date32[day]",
        "ts": "timestamp[us]", "tz": "timestamp[us, tz=UTC]", "ti": "time64[us]", "bo": "bool",
        "by": "binary",
        "j": "string", "uu": "string", "m": "string", "ia": "list<item: int32>", "ta": "list<item: string>",
        "na": "list<item: double>", 'weird " 名 😀': "int32",
    }  # fmt: skip
    first, *_, last = things.to_rows()
    assert (first["n"], first["u"]) == (decimal.Decimal("1.125"), decimal.Decimal("0.25"))
    assert first["tz"] == dt.datetime(2019, 12, 31, 22, tzinfo=dt.UTC)
    assert (first["ti"], first["by"], first["ia"], first["na"]) == (
        dt.time(10),
        b"\x00\xff",
        [1, None],
        [1.5, 1.0],
    )
    assert json.loads(first["j"]) == {"a": 1}
    assert set(last.values()) == {None}


@pytest.mark.parametrize(
    ("condition", "ids", "there"),
    [
        ("i > 2", [3, 4, 5], True),
        ("n > 1.2 and t = 'text 3'", [3], True),
        ("d >= '2020-01-04'", [3, 4, 5], True),
        ("ts < '2020-01-01 02:00:00'", [1], True),
        ("tz > '2019-12-31 23:00:00'", [], True),
        ('"weird "" 名 😀" in (2, 4)', [2, 4], True),
        ("u is null", [None], True),
        ("c = 'c' and i < 3", [1, 2], True),
        ("ts > timestamp '2020-01-01 03:00:00'", [4, 5], True),
        ("tz < timestamp '2020-01-01' and i < 3", [1, 2], True),
        ("d >= date '2020-01-05'", [4, 5], True),
        ("ts > date '2020-01-01 03:00:00' and i < 3", [1, 2], True),
        ("lower(t) like '%3'", [3], False),
        ("t > 'text 3'", [4, 5], False),
        ("t like 'text%' and t not like '%3'", [1, 2, 4, 5], True),
        ("t like 'Text%'", [], True),
        ("v like '%v%' and t like '%xt 4'", [4], True),
        ("t like 'text _'", [1, 2, 3, 4, 5], False),
        ("c like 'c%'", [1, 2, 3, 4, 5], False),
    ],
)
def test_conditions_are_handed_down(
    things: Table, condition: str, ids: list[int | None], there: bool
) -> None:
    table = things.where(condition)
    assert [row["i"] for row in table.select("i").to_rows()] == ids
    assert table.count() == len(ids)
    assert ("there" in str(table.explain())) is there


def test_queries_are_answered_by_the_server(things: Table) -> None:
    answer = (
        things.where("i > 1").select("i", "t").sql('select count(*) as n, max(t collate "C") as m from this')
    )
    assert answer.to_rows() == [{"n": 4, "m": "text 5"}]
    assert answer._pipeline.steps == ()


def test_numbers_without_scale_keep_all_their_digits(postgresql: Server) -> None:
    values = "('123456789012345678901234567890.5'), ('0.000000001'), (null)"
    query = f"select v::numeric as v from (values {values}) x(v)"
    table = read(postgresql.url, query=query)
    assert table.schema["v"].type == "decimal256(39, 9)"
    assert [row["v"] for row in table.to_rows()] == [
        decimal.Decimal("123456789012345678901234567890.5"),
        decimal.Decimal("0.000000001"),
        None,
    ]


def test_the_password_is_never_shown(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = postgresql.password
    table = read(postgresql.url, query="select 1 as a")
    shown = [repr(table), json.dumps(table.to_dict()), str(table.explain()), table._repr_html_()]
    with pytest.raises(SourceError) as caught:
        read(postgresql.url.replace("/postgres", "/nowhere"), query="select 1 as a").count()
    shown.append(str(caught.value))
    with pytest.raises(SourceError) as caught:
        read(postgresql.url.replace(secret, "wrong-secret"), query="select 1 as a").count()
    shown.append(str(caught.value))
    assert not [text for text in shown if secret in text or "wrong-secret" in text]
    monkeypatch.setenv("ORRERY_CONNECTION__MY_SHOP", postgresql.url)
    for named in (read("postgresql://", query="select 1 as a", connection="my-shop"),
                  read("postgresql://?connection=my-shop", query="select 1 as a")):  # fmt: skip
        assert named.to_rows() == [{"a": 1}]
        assert Table.from_dict(named.to_dict()).to_rows() == [{"a": 1}]
        assert secret not in repr(named) + json.dumps(named.to_dict())
    with pytest.raises(SettingsError, match="ORRERY_CONNECTION__OTHER"):
        read("postgresql://", query="select 1 as a", connection="other").count()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "one of them; the tables are"),
        ({"table": "nope"}, "does not exist"),
        ({"query": "select nope from shop.things"}, "does not exist"),
        ({"query": "drop table shop.things"}, "must be one SELECT"),
        ({"query": "select 1 as a, 2 as a"}, "two columns named 'a'"),
        ({"query": "select nextval('x') as a"}, "does not exist"),
    ],
)
def test_what_cannot_be_asked_is_told(
    postgresql: Server, things: Table, settings: dict[str, str], says: str
) -> None:
    with pytest.raises(OrreryError, match=says):
        read(postgresql.url, **settings).count()  # type: ignore[arg-type]  # query and table are texts


def test_nothing_can_be_written(postgresql: Server) -> None:
    with psycopg.connect(postgresql.url, autocommit=True) as link:
        link.execute("create sequence counting")
    with pytest.raises(SourceError, match="read-only"):
        read(postgresql.url, query="select nextval('counting') as a").to_rows()


def test_where_in_the_query_an_error_lies_is_told(postgresql: Server, things: Table) -> None:
    query = "select i,\n  nope from shop.things"
    with pytest.raises(SourceError, match=r'"nope" does not exist \(line 2, column 3 of the query\)'):
        read(postgresql.url, query=query).count()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"table": "shop.things", "parts": 2}, "no single whole primary key"),
        ({"table": "shop.things", "split_on": "f"}, "'f', which is double; allowed are whole numbers"),
        ({"table": "shop.things", "split_on": "mood"}, "no column 'mood'"),
        ({"query": "select 1 as a", "parts": 0}, "allowed is 1 or more"),
    ],
)
def test_what_cannot_be_cut_is_told(
    postgresql: Server, things: Table, settings: dict[str, str], says: str
) -> None:
    with pytest.raises(OrreryError, match=says):
        read(postgresql.url, **settings).to_rows()  # type: ignore[arg-type]  # settings of the source


@pytest.mark.parametrize("key", ["i", "n", "t", "d", "ts", "tz", 'weird " 名 😀'])
def test_any_ordered_column_can_be_the_key(postgresql: Server, things: Table, key: str) -> None:
    table = read(postgresql.url, table="shop.things", split_on=key, parts=3)
    parts = table.source.partitions()
    found = [row["i"] for part in parts for b in table.source.read(part, ["i"]) for row in b.to_pylist()]
    expected = [1, 2, 3, 4, 5, None]
    assert (found if key != "tz" else [*sorted(found[:5]), found[5]]) == expected
    assert table.where("i > 2").select("i").to_rows() == [{"i": 3}, {"i": 4}, {"i": 5}] or key == "tz"
    assert Table.from_dict({**table.to_dict(), "place": postgresql.url}).to_rows() == table.to_rows()


def test_a_column_dropped_while_it_was_read_is_told(postgresql: Server) -> None:
    with psycopg.connect(postgresql.url, autocommit=True) as link:
        link.execute("create table moving (id int primary key, a int)")
        table = read(postgresql.url, table="moving")
        assert table.schema.names == ("id", "a")
        link.execute("alter table moving drop column a")
        with pytest.raises(SourceError, match=r'127.0.0.1:\d+/postgres: .*column "a" does not exist'):
            table.to_rows()


def test_a_query_that_fails_half_way_is_told_at_once(postgresql: Server) -> None:
    query = "select 1 / (300000 - g) as a from generate_series(1, 400000) g"
    batches = read(postgresql.url, query=query).batches(1000)
    next(batches)
    with pytest.raises(SourceError, match="division by zero"):
        for _ in batches:
            pass


def test_a_server_that_goes_away_half_way_is_told() -> None:
    with running() as server:
        query = "select g, repeat('x', 1000) as x from generate_series(1, 2000000) g"
        batches = read(server.url, query=query).batches()
        next(batches)
        server.stop()
        with pytest.raises(SourceError, match=r"127.0.0.1"):
            for _ in batches:
                pass
        with pytest.raises(SourceError, match=r"127.0.0.1"):
            read(server.url, query="select 1 as a").count()
        server.start()
        assert read(server.url, query="select 1 as a").count() == 1


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("'infinity'::timestamp", "column 'x': a value at id = 2 is infinity"),
        ("'-infinity'::timestamptz", "column 'x': a value at id = 2 is infinity"),
        ("'infinity'::date", "column 'x': a value at id = 2 is infinity"),
        ("'0044-03-15 BC'::date", "column 'x': a value at id = 2 .* before the year 1"),
        ("'0044-03-15 BC'::timestamp", "column 'x': a value at id = 2 .* before the year 1"),
        ("'24:00'::time", "column 'x': a value at id = 2 .* the time 24:00"),
        ("'NaN'::numeric(9, 2)", "column 'x': .*'NaN'"),
        ("'NaN'::numeric", "column 'x': .*'NaN'"),
        ("array[[1, 2], [3, 4]]", "column 'x' holds an array of arrays"),
        ("array[[1, 2], [3, 4]]::numeric[]", "column 'x' holds an array of arrays"),
        ("array[['a'], ['{b}']]", "column 'x' holds an array of arrays"),
    ],
)
def test_what_has_no_like_here_is_told_and_never_changed(postgresql: Server, value: str, says: str) -> None:
    query = f"select g as id, case when g = 2 then {value} end as x from generate_series(1, 3) g"
    table = read(postgresql.url, query=query, split_on="id")
    for ask in (table.to_rows, table.where("coalesce(x::text, '') = 'y'").to_rows, table.describe):
        with pytest.raises(SourceError, match=says):
            ask()
    assert table.where("id <> 2").to_rows() == [{"id": 1, "x": None}, {"id": 3, "x": None}]
    assert table.where("x is null").count() == 2
    assert table.select("id").to_rows() == [{"id": 1}, {"id": 2}, {"id": 3}]


def test_the_last_years_and_times_that_there_are_are_kept(postgresql: Server) -> None:
    query = (
        "select date '0001-01-01' as a, date '9999-12-31' as b, timestamp '9999-12-31 23:59:59.999999' as c, "
        "time '23:59:59.999999' as d, array[]::int[] as e, array[1, null] as f"
    )
    assert list(read(postgresql.url, query=query).to_rows()[0].values()) == [
        dt.date.min,
        dt.date.max,
        dt.datetime.max,
        dt.time.max,
        [],
        [1, None],
    ]


def test_only_a_server_that_is_away_is_asked_about(postgresql: Server) -> None:
    url = postgresql.url.replace(postgresql.password, "wrong")
    for place, query, says in (
        (postgresql.url, "selec 1", "SELECT|syntax"),
        (postgresql.url, "select nope from pg_class", "nope"),
        (postgresql.url, "select 1 / (g - 1) as a from generate_series(1, 2) g", "division by zero"),
        (url, "select 1 as a", "password"),
    ):
        with pytest.raises(OrreryError, match=says) as caught:
            read(place, query=query).to_rows()
        assert "Is the server running" not in str(caught.value)
        assert "libpq" not in str(caught.value)
        assert "PGRES" not in str(caught.value)
    with pytest.raises(SourceError, match="Is the server running"):
        read("postgresql://127.0.0.1:1/x", query="select 1 as a").to_rows()


def test_a_query_cannot_make_its_session_write(postgresql: Server) -> None:
    opened = "select set_config('default_transaction_read_only', 'off', false) as v"
    assert read(postgresql.url, query=opened).to_rows() == [{"v": "off"}]
    for query in (
        f"{opened}) this; commit; create table written (a int); commit; select * from (select 1 as a",
        "select set_config('transaction_read_only', 'off', false) as v",
    ):
        with pytest.raises(SourceError):
            read(postgresql.url, query=query).to_rows()
    assert read(postgresql.url, query="select to_regclass('written') is null as v").to_rows() == [{"v": True}]


def test_every_transaction_of_a_connection_is_read_only(postgresql: Server) -> None:
    source: Any = read(postgresql.url, query="select 1 as a").source

    def question(link: Any) -> None:
        link.execute("select set_config('default_transaction_read_only', 'off', false)")
        link.commit()
        link.execute("create table written (a int)")

    with pytest.raises(SourceError, match="read-only"):
        source._server.ask(question)
