"""What every source must do, over every place: the same rows give the same answers wherever they lie."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from psycopg import sql as pgsql
from tests.servers.postgresql import Server, postgresql
from tests.servers.s3 import s3
from tests.servers.web import Web, web

from orrery.data.table import Table, read
from orrery.errors import SettingsError, UnknownColumnError

__all__ = ["postgresql", "s3"]

SIZE = 'the "size"'
NAMES = ("id", SIZE, "城市 😀")
ROWS: list[dict[str, Any]] = [
    {
        "id": i,
        SIZE: None if i % 7 == 3 else i * 0.25 - 3.5,
        "城市 😀": None if i % 5 == 4 else f"name '{i % 3}' é",
    }
    for i in range(137)
]
COLUMNS = {name: [row[name] for row in ROWS] for name in NAMES}
ARROW = pa.table(
    {"id": pa.array(COLUMNS["id"], pa.int64()), SIZE: COLUMNS[SIZE], "城市 😀": COLUMNS["城市 😀"]}
)

Make = Callable[[list[dict[str, Any]]], Table]


def arrow_of(rows: list[dict[str, Any]]) -> Any:
    return pa.Table.from_pylist(rows, ARROW.schema)


def place_parquet(rows: list[dict[str, Any]]) -> Table:
    pq.write_table(arrow_of(rows), "rows.parquet", row_group_size=40)
    return read("rows.parquet")


def place_parquet_folder(rows: list[dict[str, Any]]) -> Table:
    Path("parts").mkdir(exist_ok=True)
    for i in range(3):
        cut = slice(i * len(rows) // 3, (i + 1) * len(rows) // 3)
        pq.write_table(arrow_of(rows[cut]), f"parts/{i}.parquet")
    return read("parts")


def place_arrow_file(rows: list[dict[str, Any]]) -> Table:
    with pa.ipc.new_file("rows.arrow", ARROW.schema) as out:
        out.write_table(arrow_of(rows), 40)
    return read("rows.arrow")


def place_arrow_stream(rows: list[dict[str, Any]]) -> Table:
    with pa.ipc.new_stream("rows.arrows", ARROW.schema) as out:
        out.write_table(arrow_of(rows), 40)
    return read("rows.arrows")


def place_feather(rows: list[dict[str, Any]]) -> Table:
    feather.write_feather(arrow_of(rows), "rows.feather", compression="zstd")
    return read("rows.feather")


def place_orc(rows: list[dict[str, Any]]) -> Table:
    Path("orc").mkdir(exist_ok=True)
    for i, cut in enumerate((slice(0, 50), slice(50, None))):
        orc.write_table(arrow_of(rows[cut]), f"orc/{i}.orc")
    return read("orc")


def csv_text(rows: list[dict[str, Any]]) -> str:
    def cell(value: object) -> str:
        return "" if value is None else '"' + str(value).replace('"', '""') + '"'

    lines = [",".join(cell(name) for name in NAMES)]
    lines += [",".join(cell(row[name]) for name in NAMES) for row in rows]
    return "\n".join(lines) + "\n"


def place_csv(rows: list[dict[str, Any]]) -> Table:
    Path("rows.csv").write_text(csv_text(rows), "utf-8")
    return read("rows.csv", types={"id": "int64", SIZE: "double"})


def place_csv_gz(rows: list[dict[str, Any]]) -> Table:
    Path("rows.csv.gz").write_bytes(gzip.compress(csv_text(rows).encode()))
    return read("rows.csv.gz", types={"id": "int64", SIZE: "double"})


def place_jsonl(rows: list[dict[str, Any]]) -> Table:
    names = dict.fromkeys(NAMES)
    lines = [json.dumps({**names, **row}) for row in rows]
    Path("rows.jsonl").write_text("\n".join(lines) + "\n" if lines else json.dumps(names) + "\n")
    return read("rows.jsonl", types={"id": "int64", SIZE: "double"}).where("id is not null")


def place_sqlite(rows: list[dict[str, Any]]) -> Table:
    Path("rows.db").unlink(missing_ok=True)
    link = sqlite3.connect("rows.db")
    link.execute('create table things (id integer, "the ""size""" real, "城市 😀" text)')
    link.executemany("insert into things values (?, ?, ?)", [tuple(row[n] for n in NAMES) for row in rows])
    link.commit()
    link.close()
    return read("sqlite:///rows.db", query="select * from things order by id")


def place_duckdb(rows: list[dict[str, Any]]) -> Table:
    Path("rows.duckdb").unlink(missing_ok=True)
    with duckdb.connect("rows.duckdb") as link:
        link.register("given", arrow_of(rows))
        link.execute("create table things as select * from given")
    return read("duckdb:///rows.duckdb")


def place_postgresql(rows: list[dict[str, Any]], server: Server) -> Table:
    name = f"t_{uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as link:
        link.execute(
            pgsql.SQL('create table {} (id bigint, "the ""size""" float8, "城市 😀" text)').format(
                pgsql.Identifier(name)
            )
        )
        with link.cursor() as cursor:
            cursor.executemany(
                pgsql.SQL("insert into {} values (%s, %s, %s)").format(pgsql.Identifier(name)),
                [tuple(row[n] for n in NAMES) for row in rows],
            )
    return read(server.url, query=f"select * from {name} order by id")


def place_hive(rows: list[dict[str, Any]]) -> Table:
    for i in range(3):
        cut = slice(i * len(rows) // 3, (i + 1) * len(rows) // 3)
        Path(f"hive/third={i}").mkdir(parents=True, exist_ok=True)
        pq.write_table(arrow_of(rows[cut]), f"hive/third={i}/part.parquet")
    return read("hive").select(*NAMES)


def place_s3(rows: list[dict[str, Any]], form: str) -> Table:
    place = f"s3://lake/{uuid4().hex}/rows.{form}?connection=lake"
    read(arrow_of(rows)).write(place)
    pinned = {} if form == "parquet" else {"types": {"id": "int64", SIZE: "double"}}
    return read(place, **pinned)


def place_web(rows: list[dict[str, Any]], site: Web, form: str) -> Table:
    read(arrow_of(rows)).write(f"rows.{form}")
    site.files[f"/rows.{form}"] = Path(f"rows.{form}").read_bytes()
    pinned = {} if form == "parquet" else {"types": {"id": "int64", SIZE: "double"}}
    return read(f"{site.url}/rows.{form}", **pinned)


PLACES: dict[str, Make] = {
    "parquet": place_parquet,
    "parquet folder": place_parquet_folder,
    "hive folders": place_hive,
    "arrow file": place_arrow_file,
    "arrow stream": place_arrow_stream,
    "feather": place_feather,
    "orc folder": place_orc,
    "csv": place_csv,
    "csv.gz": place_csv_gz,
    "jsonl": place_jsonl,
    "sqlite": place_sqlite,
    "duckdb": place_duckdb,
    "arrow": lambda rows: read(arrow_of(rows)),
    "batch reader": lambda rows: read(arrow_of(rows).to_reader(10)),
    "pandas": lambda rows: read(arrow_of(rows).to_pandas()),
    "polars": lambda rows: read(pl.from_arrow(arrow_of(rows))),
    "columns": lambda rows: read({n: arrow_of(rows).column(n) for n in NAMES}),
}


FAR = ["postgresql", "s3 parquet", "s3 csv.gz", "http parquet", "http csv"]


@pytest.fixture(params=[*PLACES, *FAR])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """How rows are put in one place, and read from there."""
    place, _, form = request.param.partition(" ")
    if place == "s3":
        monkeypatch.setenv("ORRERY_CONNECTION__LAKE", request.getfixturevalue("s3").connection())
        yield lambda rows: place_s3(rows, form)
    elif place == "http":
        with web() as site:
            yield lambda rows: place_web(rows, site, form)
    else:
        yield _near(request)


def _near(request: pytest.FixtureRequest) -> Make:
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        return lambda rows: place_postgresql(rows, server)
    return PLACES[request.param]


def rows_of(table: Table) -> list[dict[str, Any]]:
    """Rows with NaN as missing: pandas has no other word for it."""
    return [{n: None if v != v else v for n, v in row.items()} for row in table.to_rows()]


def test_every_row_is_there_with_its_type(make: Make) -> None:
    table = make(ROWS)
    assert table.schema.names == NAMES
    assert [f.type for f in table.schema.fields] == ["int64", "double", "string"]
    assert rows_of(table) == ROWS
    assert table.count() == len(ROWS)


def test_columns_come_in_the_order_asked_for(make: Make) -> None:
    table = make(ROWS).select("城市 😀", "id")
    assert rows_of(table) == [{"城市 😀": row["城市 😀"], "id": row["id"]} for row in ROWS]
    assert table.select().count() == len(ROWS)


@pytest.mark.parametrize(
    ("condition", "keep"),
    [
        ("id >= 100", lambda r: r["id"] >= 100),
        (
            '"the ""size""" > 2.5 and id < 60',
            lambda r: r[SIZE] is not None and r[SIZE] > 2.5 and r["id"] < 60,
        ),
        ("\"城市 😀\" = 'name ''1'' é'", lambda r: r["城市 😀"] == "name '1' é"),
        ('"城市 😀" is null or id in (1, 2)', lambda r: r["城市 😀"] is None or r["id"] in (1, 2)),
        ("not (id between 3 and 130)", lambda r: not 3 <= r["id"] <= 130),
        ("lower(\"城市 😀\") like '%2%'", lambda r: r["城市 😀"] is not None and "2" in r["城市 😀"]),
        ("id % 2 = 0 and 1 = 1", lambda r: r["id"] % 2 == 0),
        ("id > 1000", lambda r: False),
    ],
)
def test_conditions_mean_the_same_everywhere(
    make: Make, condition: str, keep: Callable[[dict[str, Any]], bool]
) -> None:
    if '"the ""size"""' in condition and isinstance(make(ROWS).source, type(read(pd.DataFrame()).source)):
        condition = condition.replace("and id", 'and not isnan("the ""size""") and id')
    table = make(ROWS).where(condition)
    expected = [row for row in ROWS if keep(row)]
    assert rows_of(table) == expected
    assert table.count() == len(expected)
    assert [row["id"] for row in table.select("id").to_rows()] == [row["id"] for row in expected]


def test_a_part_is_read_on_from_any_row(make: Make) -> None:
    source = make(ROWS).source
    for where in (None, '"id" > 20'):
        for part in source.partitions():
            whole = [r["id"] for b in source.read(part, ["id"], where) for r in b.to_pylist()]
            for start in (0, 1, len(whole) // 2, len(whole), len(whole) + 5):
                rest = [r["id"] for b in source.read(part, ["id"], where, start) for r in b.to_pylist()]
                assert rest == whole[start:]


@pytest.mark.parametrize("size", [1, 10, 50, 1000])
def test_batches_are_of_exactly_the_size_asked_for(make: Make, size: int) -> None:
    sizes = [batch.num_rows for batch in make(ROWS).batches(size, columns=["id"])]
    full, rest = divmod(len(ROWS), size)
    assert sizes == [size] * full + ([rest] if rest else [])


def test_a_split_is_the_same_wherever_the_rows_lie(make: Make) -> None:
    here, there = make(ROWS), read(ARROW)
    for settings in ({}, {"stratify": "城市 😀"}, {"group": "城市 😀"}, {"time": "id"}, {"rule": "id < 40"}):
        parts = [{r["id"] for r in part.to_rows()} for part in here.split(0.7, **settings)]
        expected = [{r["id"] for r in part.to_rows()} for part in there.split(0.7, **settings)]
        assert parts == expected
        assert sum(map(len, parts)) == len(ROWS)


def test_a_profile_is_the_same_wherever_the_rows_lie(make: Make) -> None:
    assert make(ROWS).describe() == read(ARROW).describe()


def test_sql_answers_for_the_rows_that_steps_left(make: Make) -> None:
    table = make(ROWS).where("id < 10").select("id").sql("select count(*) as n, max(id) as most from this")
    assert [{k: int(v) for k, v in row.items()} for row in table.to_rows()] == [{"n": 10, "most": 9}]


def test_the_fingerprint_is_of_the_data(make: Make) -> None:
    first = make(ROWS).fingerprint()
    assert make(ROWS).fingerprint() == first
    assert make([*ROWS[:-1], {**ROWS[-1], "id": 5000}]).fingerprint() != first
    assert make(ROWS).where("id > 3").fingerprint() != first


def test_no_rows_are_no_trouble(make: Make) -> None:
    table = make([])
    assert table.count() == 0
    assert table.to_arrow().num_rows == 0
    assert table.schema.names == NAMES
    assert table.describe().rows == 0
    assert [part.count() for part in table.split(stratify="城市 😀")] == [0, 0]
    assert table.head().to_rows() == []
    assert list(table.batches()) == []


def test_unknown_columns_are_told_before_anything_is_read(make: Make) -> None:
    table = make(ROWS)
    for ask in (
        lambda: table.select("idd").schema,
        lambda: table.where("idd > 3").schema,
        lambda: table.split(stratify="idd")[0].schema,
        lambda: table.with_kinds({"idd": "number"}).schema,
        lambda: list(table.batches(columns=["idd"])),
    ):
        with pytest.raises(UnknownColumnError, match="Did you mean 'id'"):
            ask()


def test_written_down_and_read_again(make: Make) -> None:
    table = make(ROWS).where("id > 5").split(0.6, seed=3)[1]
    if "in memory" in repr(table):
        with pytest.raises(SettingsError, match="Write the rows to a file first"):
            table.to_dict()
        return
    plan = json.loads(json.dumps(table.to_dict()))
    if plan["place"].startswith("postgresql"):  # the password is not written down
        plan["place"] = table.source.place  # type: ignore[attr-defined]  # of PostgreSql
    assert Table.from_dict(plan).to_rows() == table.to_rows()


def test_a_table_can_be_written_and_read_back(make: Make) -> None:
    table = make(ROWS).with_kinds({"id": "key"})
    for name in ("out.parquet", "out.csv", "out.csv.gz", "out.jsonl"):
        assert rows_of(table.write(name)) == ROWS
    assert read("out.parquet").schema["id"].kind == "key"


def test_a_table_shows_itself(make: Make) -> None:
    table = make(ROWS)
    assert "Table(" in repr(table)
    assert "城市 😀" in table._repr_html_()
    assert "column" in table.where("id > 3").explain()
