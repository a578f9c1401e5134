"""One text of SQL over two tables gives equal rows wherever they lie: here, and in every database."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import duckdb
import psycopg
import pyarrow as pa
import pytest

from orrery.data.sql_dialects import DIALECTS
from orrery.data.table import Table, read
from orrery.errors import SettingsError

Row = tuple[Any, ...]
Tables = tuple[Table, Table]

NAMES = ["émile", "Émile", "emile", "EMILE", None, "zoé", "a b", "%_*[x]"]
SALES: list[Row] = [
    (
        i,
        NAMES[i % len(NAMES)],
        None if i % 7 == 3 else i * 0.25 - 3.5,
        i % 4,
        dt.date(2023, 12, 1) + dt.timedelta(i * 3),
    )
    for i in range(40)
]
TOWNS: list[Row] = [(0, "Oslo"), (1, "oslo"), (3, "Rome")]
_SALES = "id {int}, name {text}, price {double}, town {int}, day {date}"
_TOWNS = "town {int}, city {text}"


def here(ask: Callable[[str], Any]) -> Tables:
    sales = pa.table(dict(zip(("id", "name", "price", "town", "day"), zip(*SALES, strict=True), strict=True)))
    towns = pa.table(dict(zip(("town", "city"), zip(*TOWNS, strict=True), strict=True)))
    return read(sales), read(towns)


def _made(run: Callable[[str, list[Row]], None], words: dict[str, str], mark: str) -> tuple[str, str]:
    names = (f"sales_{uuid4().hex[:8]}", f"towns_{uuid4().hex[:8]}")
    for name, columns, rows in ((names[0], _SALES, SALES), (names[1], _TOWNS, TOWNS)):
        run(f"create table {name} ({columns.format(**words)})", [])
        marks = ", ".join([mark] * len(rows[0]))
        run(f"insert into {name} values ({marks})", rows)
    return names


def _sqlite(ask: Callable[[str], Any]) -> Tables:
    link = sqlite3.connect("shop.db")

    def run(text: str, rows: list[Row]) -> None:
        plain = [tuple(str(v) if isinstance(v, dt.date) else v for v in row) for row in rows]
        link.executemany(text, plain) if rows else link.execute(text)

    words = {"int": "integer", "text": "text collate nocase", "double": "real", "date": "date"}
    names = _made(run, words, "?")
    link.commit()
    link.close()
    return read("shop.db", table=names[0]), read("shop.db", table=names[1])


def _duckdb(ask: Callable[[str], Any]) -> Tables:
    link = duckdb.connect("shop.duckdb")
    words = {"int": "bigint", "text": "varchar", "double": "double", "date": "date"}
    names = _made(lambda text, rows: link.executemany(text, rows) if rows else link.execute(text), words, "?")
    link.close()
    return read("shop.duckdb", table=names[0]), read("shop.duckdb", table=names[1])


def _postgresql(ask: Callable[[str], Any]) -> Tables:
    url = ask("postgresql").url
    words = {"int": "bigint", "text": "text", "double": "float8", "date": "date"}
    with psycopg.connect(url, autocommit=True) as link, link.cursor() as cursor:
        names = _made(
            lambda text, rows: (
                cursor.executemany(text.encode(), rows) if rows else cursor.execute(text.encode())
            ),
            words,
            "%s",
        )
    return read(url, table=names[0]), read(url, table=names[1])


def _mariadb(ask: Callable[[str], Any]) -> Tables:
    server = ask("mariadb")
    ask("monkeypatch").setenv("ORRERY_CONNECTION__MARIA", server.url)
    words = {"int": "bigint", "text": "varchar(40)", "double": "double", "date": "date"}
    link = server.connect()
    with link, link.cursor() as cursor:
        cursor.execute("set names utf8mb4")
        names = _made(
            lambda text, rows: cursor.executemany(text, rows) if rows else cursor.execute(text), words, "%s"
        )
        link.commit()
    place = "mysql://?connection=maria"
    return read(place, table=names[0]), read(place, table=names[1])


def _spark(ask: Callable[[str], Any]) -> Tables:
    session = ask("spark")
    words = {"int": "long", "text": "string", "double": "double", "date": "date"}
    sales = session.createDataFrame(SALES, _SALES.format(**words))
    return read(sales), read(session.createDataFrame(TOWNS, _TOWNS.format(**words)))


PLACES = {
    "here": here,
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
    "spark": _spark,
}


@pytest.fixture(params=[pytest.param(p, marks=[pytest.mark.slow] if p == "spark" else []) for p in PLACES])
def tables(request: pytest.FixtureRequest) -> Tables:
    """The two tables in one place."""
    return PLACES[request.param](request.getfixturevalue)


def plain(rows: list[dict[str, Any]]) -> list[Row]:
    """Values of any database as Python compares them; decimals as doubles."""

    def value(v: Any) -> Any:
        if isinstance(v, (Decimal, float)):
            return round(float(v), 9)
        return v.date() if isinstance(v, dt.datetime) else int(v) if isinstance(v, bool) else v

    return [tuple(value(v) for v in row.values()) for row in rows]


QUERIES = {
    "order of text and nulls": "select id, name from this order by name, id",
    "nulls last, descending": "select id, price from this order by price desc, id limit 7",
    "nulls first": "select id, price from this order by price nulls first, id",
    "equal text": "select id from this where name = 'émile' or name in ('EMILE', 'A B') order by id",
    "groups of text": "select Name, count(*) as n from this group by name order by name",
    "distinct text": "select count(distinct name) as n, min(name) as a, max(name) as b from this",
    "division": "select id, id / 2 as half, town / (id - 3) as odd, id % 3 as rest from this order by id",
    "averages": "select town, avg(id) as a, sum(id) as s, avg(price) as p, count(price) as n "
    "from this group by town having count(*) > 2 order by town",
    "windows": "select id, row_number() over (partition by town order by price desc, id) as r, "
    "rank() over (order by town) as k, lag(id, 1) over (order by id) as before, "
    "sum(id) over (partition by town order by id rows between 1 preceding and current row) as s "
    "from this order by id",
    "dates": "select id, extract(year from day) as y, month(day) as m, day(day) as d from this "
    "where day >= date '2024-01-10' order by id",
    "text": "select id, length(name) as n, substring(name, 2, 3) as s, name || '-' || name as twice, "
    "replace(name, 'i', 'I') as r, trim(name) as t from this order by id",
    "patterns": "select id from this where name like '%\xe9%' or name like 'E%' or name like '_ _' "
    "order by id",
    "choices": "select id, case when price > 0 then 'up' when price is null then 'none' else 'down' end "
    "as c, coalesce(price, 0) as p, nullif(town, 0) as t from this order by id",
    "a join": "select id, City from this left join t using (town) where id < 9 order by id",
    "a join by name": "select s.id, t.city from this as s join t on s.town = t.town and t.city <> 'oslo' "
    "order by s.id",
    "tables of its own": "with dear as (select town, max(price) as p from this group by town) "
    "select t.city, dear.p from dear join t on t.town = dear.town order by t.city",
    "one within another": "select id from this where town in (select town from t where city = 'Rome') "
    "and price > (select avg(price) from this) order by id",
    "sets": "select town from this union select town from t order by town",
    "no names": "select town, count(*), max(id) + 1 from this group by town order by 1",
}


@pytest.mark.parametrize("name", QUERIES)
def test_rows_are_equal(tables: Tables, name: str) -> None:
    sales, towns = tables
    left, right = here(lambda name: None)
    expected = left.sql(QUERIES[name], dialect="duckdb", t=right)
    answer = sales.sql(QUERIES[name], dialect="duckdb", t=towns)
    assert list(answer.schema.names) == list(expected.schema.names)
    assert plain(answer.to_rows()) == plain(expected.to_rows())
    assert expected.count() > 0


def test_the_place_answers(tables: Tables) -> None:
    sales, towns = tables
    answer = sales.sql(QUERIES["a join"], dialect="duckdb", t=towns)
    assert (answer.explain().here == ()) is ("in memory" not in repr(sales) or "Spark" in repr(sales))


@pytest.mark.parametrize("dialect", [d for d in DIALECTS if d != "duckdb"])
def test_a_text_of_another_dialect_is_understood(dialect: str) -> None:
    sales, _ = here(lambda name: None)
    mark = "`" if dialect in ("mysql", "spark") else '"'
    query = (
        f"select {mark}town{mark}, count(*) as n from this where name is not null group by town order by 1"
    )
    expected = "select town, count(*) as n from this where name is not null group by town order by 1"
    assert sales.sql(query, dialect=dialect).to_rows() == sales.sql(expected).to_rows()


@pytest.mark.parametrize(
    "query",
    [
        "select round(price, 1) as p from this",
        "select cast(price as bigint) as p from this",
        "select cast(price as varchar) as p from this",
        "select string_agg(name, ',') as n from this",
        "select strftime(day, '%Y') as y from this",
        "select id from this where name ilike 'e%'",
        "select distinct on (town) id from this",
        "select id from this qualify row_number() over (order by id) = 1",
        "select random() as r from this",
        "select town, count(*) from this group by all",
        "select id // 2 as half from this",
    ],
)
def test_what_databases_understand_differently_is_refused(query: str) -> None:
    sales, _ = here(lambda name: None)
    with pytest.raises(SettingsError, match="understand differently"):
        _ = sales.sql(query, dialect="duckdb").schema


def test_integer_division_of_another_dialect_is_refused() -> None:
    sales, _ = here(lambda name: None)
    for dialect in ("postgres", "sqlite"):
        with pytest.raises(SettingsError, match="cast one side to double"):
            _ = sales.sql("select id / 2 as half from this", dialect=dialect).schema
        halves = sales.sql("select cast(id as double precision) / 2 as half from this", dialect=dialect)
        assert halves.to_rows()[3] == {"half": 1.5}
    with pytest.raises(SettingsError, match="There is no dialect 'oracle'"):
        _ = sales.sql("select id from this", dialect="oracle").schema
