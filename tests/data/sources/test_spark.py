"""Spark: tables by name, queries and joins as its plans, types, and what goes wrong there."""

from __future__ import annotations

import datetime as dt
import sys
from decimal import Decimal
from typing import Any

import pytest

from orrery.data.sources import spark as spark_source
from orrery.data.table import Table, read
from orrery.errors import SchemaError, SettingsError, SourceError

pytestmark = pytest.mark.slow

AT = dt.datetime(2024, 5, 1, 12, 30, tzinfo=dt.UTC)


@pytest.fixture
def things(spark: Any) -> Any:
    """A frame of many types, also a view of the session."""
    types = (
        "id long, `a.b` string, price decimal(10, 2), day date, at timestamp, "
        "list array<int>, tags map<string, int>, inner struct<x: int>, raw binary, yes boolean"
    )
    rows = [
        (1, "x", Decimal("1.50"), dt.date(2024, 1, 2), AT, [1, 2], {"k": 1}, (7,), b"\x00", True),
        (2, None, None, None, None, None, None, None, None, None),
    ]
    frame = spark.createDataFrame(rows, types).coalesce(1)
    frame.createOrReplaceTempView("things")
    return frame


def test_types_are_kept(things: Any) -> None:
    first, second = read(things).to_rows()
    assert first["price"] == Decimal("1.50")
    assert (first["day"], first["at"]) == (dt.date(2024, 1, 2), AT)
    assert (first["list"], first["tags"], first["inner"]) == ([1, 2], [("k", 1)], {"x": 7})
    assert set(second.values()) == {2, None}
    assert read(things).fingerprint() == read(things).fingerprint() != read(things.limit(1)).fingerprint()


def test_tables_and_queries_by_address(things: Any) -> None:
    assert read("spark://things").select("a.b").to_rows() == [{"a.b": "x"}, {"a.b": None}]
    table = read("spark://", query="select id from things where id > 1")
    assert table.to_rows() == [{"id": 2}]
    assert Table.from_dict(table.to_dict()).to_rows() == [{"id": 2}]
    with pytest.raises(SourceError, match="absent"):
        read("spark://absent").count()


def test_spark_does_what_it_can(things: Any, spark: Any) -> None:
    table = read(things).where("id > 0 and lower(\"a.b\") = 'x'").select("a.b")
    plan = table.explain()
    assert plan.condition_there == "(`id` > 0)"
    assert plan.to_read_bytes is not None
    assert table.to_rows() == [{"a.b": "x"}]
    names = read(spark.createDataFrame([(1, "{one}"), (2, "two")], "id long, name string"))
    joined = read(things).sql("select name, '{x}' as text from this join n using (id) order by id", n=names)
    assert joined.explain().here == ()
    assert joined.to_rows() == [{"name": "{one}", "text": "{x}"}, {"name": "two", "text": "{x}"}]
    beside = read(things).sql("select n.v from this join n using (id)", n=read({"id": [2], "v": ["here"]}))
    assert beside.to_rows() == [{"v": "here"}]


def test_rows_stream_and_may_be_left(spark: Any) -> None:
    batches = read(spark.range(0, 100_000, 1, 4)).batches(1000)
    assert next(batches).num_rows == 1000
    batches.close()  # type: ignore[attr-defined]  # it is a generator
    assert read(spark.range(0, 100_000, 1, 4)).where("id % 1000 = 7").count() == 100


def test_what_fails_in_spark_says_so(spark: Any) -> None:
    failing = spark.range(10).selectExpr("raise_error('gone') as a")
    with pytest.raises(SourceError, match="gone"):
        read(failing).to_rows()
    with pytest.raises((SchemaError, SourceError)):
        _ = read(spark.range(3)).sql("select nothing from this").schema
    with pytest.raises(SettingsError, match="may only read 'this'"):
        _ = read(spark.range(3)).sql("select * from things").schema


def test_a_missing_java_is_told(monkeypatch: pytest.MonkeyPatch, spark: Any) -> None:
    class Nobody:
        @staticmethod
        def getActiveSession() -> None:  # noqa: N802 - Spark's own name
            """There is none."""

    monkeypatch.setattr(sys.modules["pyspark.sql"], "SparkSession", Nobody)
    monkeypatch.setattr(spark_source.shutil, "which", lambda name: None)  # type: ignore[attr-defined]
    for name in ("JAVA_HOME", "SPARK_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceError, match="needs Java"):
        read("spark://things").count()
