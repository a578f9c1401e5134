"""Any URL of SQLAlchemy: types as declared, or by the first values; order, parts, and what cannot be had."""

from __future__ import annotations

import datetime as dt
import decimal
import pickle
import sqlite3

import psycopg
import pytest
from tests.servers.postgresql import Server

from orrery.data.sources.sql import Sql
from orrery.data.sources.sql_address import Address
from orrery.data.table import Table, read
from orrery.errors import MissingExtraError, OrreryError, SettingsError, SourceError

CREATE = """
create table declared (
  id int primary key, small smallint, n numeric(12, 3), u numeric, f float8, t text, yes bool, by bytea,
  d date, ts timestamp, tz timestamptz, ti time, j jsonb, uu uuid, ia int[]
);
insert into declared values (1, 2, 1.125, 0.25, 0.5, 'é', true, '\\x00ff', '2026-01-02',
  '2026-01-02 03:04:05.6', '2026-01-02 03:04:05+02', '10:00', '{"a": [1]}',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', array[1, null]);
insert into declared (id) values (2);
"""
ROW = {
    "id": 1, "small": 2, "n": decimal.Decimal("1.125"), "u": decimal.Decimal("0.25"), "f": 0.5, "t": "é",
    "yes": True, "by": b"\x00\xff", "d": dt.date(2026, 1, 2),
    "ts": dt.datetime(2026, 1, 2, 3, 4, 5, 600_000), "tz": dt.datetime(2026, 1, 2, 1, 4, 5, tzinfo=dt.UTC),
    "ti": dt.time(10), "j": '{"a": [1]}', "uu": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "ia": [1, None],
}  # fmt: skip


@pytest.fixture(scope="module")
def url(postgresql: Server) -> str:
    with psycopg.connect(postgresql.url, autocommit=True) as link:
        link.execute(CREATE)
    return postgresql.url.replace("postgresql:", "sqlalchemy+postgresql+psycopg:")


@pytest.mark.parametrize("settings", [{"table": "declared"}, {"query": "select * from declared order by id"}])
def test_types_are_kept(url: str, settings: dict[str, str]) -> None:
    table = read(url, **settings)  # type: ignore[arg-type]  # query and table are texts
    assert isinstance(table.source, Sql)
    assert table.to_rows() == [ROW, {**dict.fromkeys(ROW), "id": 2}]
    types = {f.name: f.type for f in table.schema.fields}
    assert (types["tz"], types["by"], types["f"]) == ("timestamp[us, tz=UTC]", "binary", "double")
    assert table.where("d > '2026-01-01' and n < 2").select("id").to_rows() == [{"id": 1}]


def test_values_that_do_not_fit_are_told_with_their_column() -> None:
    link = sqlite3.connect("t.db")
    link.execute("create table t (a integer, b)")
    link.executemany("insert into t values (?, ?)", [(i, i if i < 3000 else "x") for i in range(4000)])
    link.commit()
    link.close()
    place = "sqlalchemy+sqlite:///t.db"
    with pytest.raises(SourceError, match=r"t\.db: column 'b': 'x' is not int64"):
        read(place, query="select * from t").to_rows()
    assert read(place, query="select * from t", types={"b": "string"}).to_rows()[-1] == {"a": 3999, "b": "x"}
    with pytest.raises(SourceError, match="no such column: z"):
        read(place, query="select z from t").count()
    with pytest.raises(SourceError, match="Did you mean 't'"):
        read(place, table="tt").count()
    assert read(place, query="select * from t where b like '%x%' or a % 2 = 0").count() == 2500


def test_what_sqlalchemy_does_not_know_is_told() -> None:
    with pytest.raises(SettingsError, match="knows no database 'nowhere'"):
        read("sqlalchemy+nowhere://host/base", table="t").count()
    with pytest.raises((MissingExtraError, SettingsError), match="oracledb"):
        read("oracle+oracledb://scott:tiger@127.0.0.1/x", table="t").count()


def test_a_source_travels_without_its_connections(url: str) -> None:
    table = read(url, table="declared", parts=2)
    rows = table.to_rows()
    source = pickle.loads(pickle.dumps(table.source))
    parts = pickle.loads(pickle.dumps(source.partitions()))
    assert [row for part in parts for batch in source.read(part) for row in batch.to_pylist()] == rows
    plan = table.to_dict()
    assert "parts" in plan
    assert ":" not in plan["place"].partition("://")[2].partition("@")[0]
    assert Table.from_dict({**plan, "place": url}).to_rows() == rows


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("mysql://bob:p%40w@host:3306/shop?ssl_ca=x&password=y", "mysql://bob@host:3306/shop?ssl_ca=x"),
        ("sqlalchemy+sqlite:///rows.db", "sqlalchemy+sqlite:///rows.db"),
        ("mysql://?connection=shop", "mysql connection 'shop'"),
    ],
)
def test_an_address_shows_no_secret(place: str, shown: str) -> None:
    assert str(Address.of(place, None)) == shown


@pytest.mark.parametrize(
    "place", ["mysql://bob:p@w@host/x", "mysql://bob:p#w@host/x", "mysql://bob@host:x/y"]
)
def test_an_address_that_cannot_be_read_is_told_without_its_secret(place: str) -> None:
    with pytest.raises(OrreryError, match="cannot be read") as caught:
        Address.of(place, None)
    assert "p@w" not in str(caught.value)
    assert "p#w" not in str(caught.value)


def test_a_type_that_sqlalchemy_does_not_know_is_read_without_a_remark(url: str, postgresql: Server) -> None:
    with psycopg.connect(postgresql.url, autocommit=True) as link:
        link.execute("create table odd (id int primary key, place box)")
        link.execute("insert into odd values (1, '(1,1),(0,0)')")
    assert read(url, table="odd").to_rows() == [{"id": 1, "place": "(1,1),(0,0)"}]
    with pytest.raises(SourceError, match="division by zero") as caught:
        read(url, query="select 1 / (g - 1) as a from generate_series(1, 2) g").to_rows()
    assert "Is the server running" not in str(caught.value)
