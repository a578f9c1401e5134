"""What every source must do, over every place: the same rows give the same answers wherever they lie.

The places are in ``places/``, one file per family: each has ``PLACES``, name -> :data:`Place`.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.contracts.rows import ARROW, NAMES, ROWS, SIZE, Place
from tests.servers.web import Web, web

from orrery.data.table import Table, read
from orrery.errors import SettingsError, UnknownColumnError

Make = Callable[[list[dict[str, Any]]], Table]

FAMILIES = [
    importlib.import_module(f"tests.contracts.places.{file.stem}")
    for file in sorted(Path(__file__).with_name("places").glob("*.py"))
]
PLACES: dict[str, Place] = {name: place for family in FAMILIES for name, place in family.PLACES.items()}
MARKS = {name: family.MARKS for family in FAMILIES if hasattr(family, "MARKS") for name in family.PLACES}


@pytest.fixture
def site() -> Iterator[Web]:
    """A web server of this test."""
    with web() as running:
        yield running


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in PLACES])
def make(request: pytest.FixtureRequest) -> Make:
    """How rows are put in one place, and read from there."""
    return lambda rows: PLACES[request.param](rows, request.getfixturevalue)


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
    table = make(ROWS).select("城市 é", "id")
    assert rows_of(table) == [{"城市 é": row["城市 é"], "id": row["id"]} for row in ROWS]
    assert table.select().count() == len(ROWS)


@pytest.mark.parametrize(
    ("condition", "keep"),
    [
        ("id >= 100", lambda r: r["id"] >= 100),
        (
            '"the ""size""" > 2.5 and id < 60',
            lambda r: r[SIZE] is not None and r[SIZE] > 2.5 and r["id"] < 60,
        ),
        ("\"城市 é\" = 'name ''1'' é'", lambda r: r["城市 é"] == "name '1' é"),
        ('"城市 é" is null or id in (1, 2)', lambda r: r["城市 é"] is None or r["id"] in (1, 2)),
        ("not (id between 3 and 130)", lambda r: not 3 <= r["id"] <= 130),
        ("lower(\"城市 é\") like '%2%'", lambda r: r["城市 é"] is not None and "2" in r["城市 é"]),
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
    for settings in ({}, {"stratify": "城市 é"}, {"group": "城市 é"}, {"time": "id"}, {"rule": "id < 40"}):
        parts = [{r["id"] for r in part.to_rows()} for part in here.split(0.7, **settings)]
        expected = [{r["id"] for r in part.to_rows()} for part in there.split(0.7, **settings)]
        assert parts == expected
        assert sum(map(len, parts)) == len(ROWS)


def test_a_profile_is_the_same_wherever_the_rows_lie(make: Make) -> None:
    assert make(ROWS).describe() == read(ARROW).describe()


def test_sql_answers_for_the_rows_that_steps_left(make: Make) -> None:
    table = make(ROWS).where("id < 10").select("id").sql("select count(*) as n, max(id) as most from this")
    assert [{k: int(v) for k, v in row.items()} for row in table.to_rows()] == [{"n": 10, "most": 9}]


def test_functions_of_rows_are_steps_like_others(make: Make) -> None:
    table = make(ROWS).select("id").map(lambda batch: batch).where("id > 100")
    assert table.count() == len(ROWS) - 101
    assert table.describe()["id"].minimum == 101
    assert [row["id"] for row in table.to_rows()] == list(range(101, len(ROWS)))


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
    assert [part.count() for part in table.split(stratify="城市 é")] == [0, 0]
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
    assert "城市 é" in table._repr_html_()
    assert "column" in str(table.where("id > 3").explain())
