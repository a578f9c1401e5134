"""Files whose columns differ: one schema by a stated rule, or an error that names two files."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.data.sources.widening import wider_type
from orrery.data.table import Table, read
from orrery.errors import SchemaError, SettingsError, SourceError

TYPES = [
    *(pa.int8(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64(), pa.float32(), pa.float64()),
    *(pa.string(), pa.bool_(), pa.date32(), pa.timestamp("us"), pa.null(), pa.binary(), pa.list_(pa.int8())),
]


def write(form: str, *columns: Any) -> Table:
    Path("d").mkdir()
    for i, column in enumerate(columns):
        table = pa.table({"a": column})
        if form == "parquet":
            pq.write_table(table, f"d/{i}.parquet")
        elif form == "orc":
            orc.write_table(table, f"d/{i}.orc")
        else:
            with pa.ipc.new_file(f"d/{i}.arrow", table.schema) as out:
                out.write_table(table)
    return read("d")


@pytest.mark.parametrize("form", ["parquet", "arrow", "orc"])
@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (pa.array([1, 2], pa.int32()), pa.array([1 << 40]), "int64"),
        (pa.array([1, None]), pa.array([0.5]), "double"),
        (pa.array([0.5], pa.float32()), pa.array([1], pa.int64()), "double"),
        (
            pa.array([Decimal("1.5")], pa.decimal128(5, 1)),
            pa.array([Decimal("2.25")], pa.decimal128(9, 2)),
            "decimal128(9, 2)",
        ),
    ],
)
def test_types_widen_whichever_file_comes_first(form: str, first: Any, second: Any, kind: str) -> None:
    table = write(form, first, second)
    assert table.schema["a"].type == kind
    assert [row["a"] for row in table.to_rows()] == [*first.to_pylist(), *second.to_pylist()]
    assert table.where("a > 0").count() == len(first.drop_null()) + len(second)


@pytest.mark.parametrize(
    ("first", "second"), [([1], ["x"]), ([True], [1]), ([1.5], ["1.5"]), ([[1]], [1]), ([b"x"], ["x"])]
)
def test_types_that_do_not_widen_name_both_files(first: list[Any], second: list[Any]) -> None:
    with pytest.raises(SchemaError, match=r"'a' is .* in d/0\.parquet, but .* in d/1\.parquet"):
        _ = write("parquet", first, second).schema


def test_a_number_that_a_double_would_round_is_told_and_not_changed() -> None:
    table = write("parquet", pa.array([0.5]), pa.array([(1 << 53) + 1]))
    with pytest.raises(SourceError, match=r"d/1\.parquet: the column 'a' is int64"):
        table.to_rows()


def test_columns_that_some_files_lack() -> None:
    Path("d").mkdir()
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), "d/1.parquet")
    pq.write_table(pa.table({"c": [0.5], "a": [2]}), "d/2.parquet")
    with pytest.raises(SchemaError, match=r"2\.parquet has the columns .*missing='null'"):
        _ = read("d").schema
    table = read("d", missing="null")
    assert table.schema.names == ("a", "b", "c")
    assert table.to_rows() == [{"a": 1, "b": "x", "c": None}, {"a": 2, "b": None, "c": 0.5}]
    assert table.where("c is null").select("b").to_rows() == [{"b": "x"}]
    assert table.select("c").to_rows() == [{"c": None}, {"c": 0.5}]
    assert Table.from_dict(table.to_dict()).to_rows() == table.to_rows()
    with pytest.raises(SettingsError, match="allowed are 'error', 'null'"):
        read("d", missing="maybe")


def test_csv_columns_come_in_any_order() -> None:
    Path("d").mkdir()
    Path("d/1.csv").write_text("a,b\n1,x\n")
    Path("d/2.csv").write_text("b,a\ny,2\n")
    assert read("d").to_rows() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    Path("d/3.csv").write_text("a,c\n1,2\n")
    with pytest.raises(SchemaError, match=r"d/3\.csv has the columns .* d/1\.csv"):
        read("d").to_rows()


@given(st.sampled_from(TYPES), st.sampled_from(TYPES))
def test_widening_takes_no_side_and_ends(left: Any, right: Any) -> None:
    found = wider_type(left, right)
    assert found == wider_type(right, left)
    if found is not None:
        assert wider_type(found, left) == found == wider_type(found, right)
