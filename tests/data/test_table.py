"""Tables: steps, batches, forms; strange names, wide and empty tables."""

from __future__ import annotations

import pickle
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from fsspec.registry import _registry

from orrery.data.table import Table, read
from orrery.errors import (
    BadRowError,
    MissingExtraError,
    SchemaError,
    SettingsError,
    SourceError,
    UnknownColumnError,
)
from orrery.schema import Kind

NAMES = ["a b", 'q"uo"te', "it's", "列", "😀", "select", "", "a.b", "x;y", "\t"]


def test_nothing_is_read_before_it_is_asked_for() -> None:
    table = read("absent.csv").select("a").where("a > 1")
    with pytest.raises(SourceError, match=r"no file absent.csv"):
        table.count()


def test_strange_names_go_through_every_step() -> None:
    table = read({name: [i, i + 1, None] for i, name in enumerate(NAMES)})
    for i, name in enumerate(NAMES):
        quoted = '"' + name.replace('"', '""') + '"'
        assert table.where(f"{quoted} = {i}").select(name).to_rows() == [{name: i}]
        assert table.split(0.5, stratify=name)[0].schema.names == tuple(NAMES)
        if name:
            assert table.select(name).sql(f"select max({quoted}) as m from this").to_rows() == [{"m": i + 1}]
    for form in ("strange.parquet", "strange.jsonl"):
        assert table.write(form).to_rows() == table.to_rows()


def test_names_that_differ_in_case_are_two_columns() -> None:
    table = read({"A": [1, 2], "a": [3, 4]})
    assert table.where("A = 1").to_rows() == [{"A": 1, "a": 3}]
    with pytest.raises(SchemaError, match="differ only in case"):
        table.sql("select * from this").to_rows()


def test_map_in_all_its_forms() -> None:
    table = read({"a": [1, 2, 3]}).with_kinds({"a": "category"})
    doubled = table.map(
        lambda batch: batch.append_column("b", pa.array([v * 2 for v in batch["a"].to_pylist()]))
    )
    assert doubled.to_rows()[2] == {"a": 3, "b": 6}
    assert doubled.schema["a"].kind is Kind.CATEGORY
    assert doubled.select("b").where("b > 2").count() == 2
    fewer = table.map(lambda batch: batch.filter(pa.array([v != 2 for v in batch["a"].to_pylist()])))
    assert fewer.count() == 2
    with pytest.raises(SchemaError, match="RecordBatch"):
        table.map(lambda batch: [1]).count()
    given = table.map(lambda batch: batch, schema=pa.schema([("a", pa.int64()), ("z", pa.int64())]))
    with pytest.raises(SchemaError, match="other columns than before"):
        given.to_rows()


def test_the_code_of_a_function_is_in_the_fingerprint() -> None:
    table = read({"a": [1]})
    one, same, other = (table.map(eval(f"lambda b: b.slice({n})")) for n in (0, 0, 1))
    assert one.fingerprint() == same.fingerprint()
    assert one.fingerprint() != other.fingerprint()


def test_union_keeps_every_row_and_checks_columns() -> None:
    one, two = read({"a": [1], "b": ["x"]}), read({"b": ["y"], "a": [2]})
    assert one.union(two).to_rows() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert one.union(two).select("b").where("b = 'y'").count() == 1
    with pytest.raises(SchemaError, match="'b' is string here and int64 there"):
        one.union(read({"a": [1], "b": [1]})).count()


def test_equal_data_has_an_equal_fingerprint() -> None:
    rows = {"a": [1, 2, 3], "b": ["x", None, "z"]}
    whole = read(pa.table(rows)).fingerprint()
    assert (
        read(pa.concat_tables([pa.table(rows).slice(0, 1), pa.table(rows).slice(1)])).fingerprint() == whole
    )
    assert read(rows).fingerprint() == whole
    assert read({"a": [2, 1, 3], "b": ["x", None, "z"]}).fingerprint() != whole


def test_types_survive_pandas_and_polars() -> None:
    table = read({"n": [1, None], "f": [True, None], "t": ["x", None], "big": [2**62 + 1, None]})
    frame = table.to_pandas()
    assert [str(frame[c].dtype) for c in ("n", "f")] == ["Int64", "boolean"]
    assert read(frame).to_rows() == table.to_rows()
    assert read(table.to_polars()).to_rows() == table.to_rows()
    assert frame["big"][0] == 2**62 + 1


def test_memory_in_every_form() -> None:
    expected = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]
    forms: list[Any] = [
        expected,
        {"a": [1, 2], "b": ["x", None]},
        {"a": np.array([1, 2]), "b": ["x", None]},
        pd.DataFrame(expected).set_index(pd.Index([5, 6])),
        pl.DataFrame(expected),
        pl.DataFrame(expected).lazy(),
        pa.table({"a": [1, 2], "b": ["x", None]}),
        pa.record_batch({"a": [1, 2], "b": ["x", None]}),
        pa.table({"a": [1, 2], "b": ["x", None]}).to_reader(),
    ]
    for form in forms:
        table = read(form)
        assert table.to_rows() == expected, type(form)
        assert table.to_rows() == expected, "a second pass"
        assert [f.type for f in table.schema.fields] == ["int64", "string"]


def test_columns_of_vectors_have_their_width() -> None:
    table = read({"v": np.arange(6.0).reshape(3, 2)})
    assert table.schema["v"].type == "fixed_size_list<item: double>[2]"
    assert table.describe()["v"].width == 2


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([{"a": 1}, {"a": "x"}], SchemaError),
        ([{"a": 1}, 5], SchemaError),
        ({"a": [1, "x"]}, SchemaError),
        ({"a": [1], "b": [1, 2]}, SchemaError),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), SchemaError),
        (pd.DataFrame({"a": [1, "x"]}), SchemaError),
        ([{"a": i} for i in range(99)] + [{"a": "x"}], BadRowError),
        (object(), SettingsError),
        ("data.unknown", SourceError),
    ],
)
def test_rows_that_cannot_be_read_are_told(rows: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(rows).count()


def test_whole_numbers_of_any_size() -> None:
    assert read({"a": [1.5, 2**70]}).to_rows()[1] == {"a": 2.0**70}
    assert read([{"a": 2**70}]).schema["a"].type == "double"
    with pytest.raises(SchemaError, match="in row 100 is not int64"):
        read({"a": [*range(99), "x"]}).count()


def test_a_table_without_columns_answers_no_query() -> None:
    with pytest.raises(SchemaError, match="no columns"):
        read({}).sql("select 1 as a").to_rows()


def test_leaving_a_query_early_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    batches = read(pa.table({"a": np.arange(1_000_000)})).sql("select a from this").batches(10)
    assert next(batches).num_rows == 10
    del batches
    assert set(threading.enumerate()) <= before  # those of earlier tests may end meanwhile


def test_bad_rows_in_memory_are_set_aside() -> None:
    table = read([{"a": i} for i in range(99)] + [{"a": "x"}], on_bad="quarantine")
    assert table.count() == 99
    assert table.quarantined().to_rows() == [
        {"place": "rows", "line": 100, "column": "a", "value": "x", "reason": "is not int64"}
    ]


@pytest.mark.slow
def test_ten_thousand_columns() -> None:
    begun = time.monotonic()
    table = read(pa.table({f"c {i}": np.arange(3.0) + i for i in range(10_000)}))
    assert table.count() == 3
    assert len(table.describe().columns) == 10_000
    assert sum(part.count() for part in table.split(0.5)) == 3
    assert table.select("c 9999").where('"c 9999" > 10000').to_rows() == [{"c 9999": 10001.0}]
    assert time.monotonic() - begun < 60


def test_one_row_one_column_and_none() -> None:
    assert read({"a": [5]}).describe()["a"].std is None
    assert read({"a": [5]}).split(0.5, stratify="a")[0].count() in (0, 1)
    assert read([]).count() == 0
    assert read({}).schema.names == ()
    assert read({"a": []}).describe().rows == 0


def test_errors_of_the_rows_own_source_come_through_sql() -> None:
    lines = ["a,b"] + [f"{i},{i}" for i in range(50)] + ["x,1"]
    Path("bad.csv").write_text("\n".join(lines))
    with pytest.raises(BadRowError, match=r"bad.csv:52"):
        read("bad.csv").sql("select sum(a) as s from this").to_rows()


def test_batches_hold_back_nothing() -> None:
    made: list[int] = []

    def batches() -> Iterator[Any]:
        for i in range(100):
            made.append(i)
            yield pa.record_batch({"a": list(range(10))})

    class Slow:
        def schema(self) -> Any:
            return read({"a": [1]}).schema

        def partitions(self) -> list[Any]:
            return [None]

        def read(self, *_: Any) -> Iterator[Any]:
            return batches()

    table = Table(Slow())  # type: ignore[arg-type]  # a source with the members that are used
    next(table.batches(10))
    assert len(made) <= 2
    assert table.head(15).count() == 15
    assert len(made) <= 6


def test_a_table_travels() -> None:
    Path("t.csv").write_text("a,b\n1,x\n2,y\n")
    table = read("t.csv").where("a > 1").split(0.5, stratify="b")[0]
    assert pickle.loads(pickle.dumps(table)).to_rows() == table.to_rows()


def test_wrong_requests_are_told() -> None:
    table = read({"a": [1]})
    with pytest.raises(SettingsError, match="no kind 'nmber'"):
        table.with_kinds({"a": "nmber"})
    with pytest.raises(SettingsError, match="at least 1 row"):
        list(table.batches(0))
    with pytest.raises(UnknownColumnError):
        table.without("b")
    Path("t.csv").write_text("a\n1\n")
    with pytest.raises(SettingsError, match="cannot be rebuilt"):
        Table.from_dict({"place": "t.csv", "steps": [{"step": "map", "function": "os:system"}]})


def test_a_share_given_as_rows_is_told() -> None:
    with pytest.raises(SettingsError, match=r"share=0\.1"):
        read({"a": [1]}).sample(0.1)  # type: ignore[arg-type]


def test_columns_may_be_named_in_one_list() -> None:
    table = read({"a": [1], "b": [2], "c": [3]})
    assert table.select(["b", "a"]).to_rows() == table.select("b", "a").to_rows() == [{"b": 2, "a": 1}]
    assert table.without(("a", "b")).schema.names == ("c",)
    with pytest.raises(SettingsError, match="named by a string, not by 3"):
        table.select("a", 3)  # type: ignore[arg-type]


def test_a_missing_extra_of_a_file_system_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    for ask in (lambda: read("s3://bucket/x.csv"), lambda: read({"a": [1]}).write("s3://bucket/x.csv")):
        with pytest.raises(MissingExtraError, match=r'pip install "orrery-ml\[s3\]"'):
            ask()


@pytest.mark.parametrize("place", ["", "  "])
def test_an_empty_place_is_not_the_current_folder(place: str) -> None:
    Path("rows.csv").write_text("a\n1\n")
    with pytest.raises(SourceError, match="empty"):
        read(place)
