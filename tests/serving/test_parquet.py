"""What is recorded, value by value."""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.estimators.signature import Signature
from orrery.features.target import Target
from orrery.schema import Schema
from orrery.serving.parquet import Answered, predictions_table, write_aside

TARGET = Target(name="y", kind="number", type="double")


def recorded(types: dict[str, pa.DataType], columns: dict[str, list[Any]]) -> pa.Table:
    """A table of recorded rows with some columns of some types."""
    rows = len(next(iter(columns.values())))
    answered = Answered(
        name="m",
        version=3,
        signature=Signature(inputs=Schema.of(pa.schema(types)), target=TARGET),
        ids=[str(i) for i in range(rows)],
        columns=columns,
        answers=[{"prediction": float(i)} for i in range(rows)],
        time_us=1_700_000_000_000_000,
        size_bytes=100,
    )
    return predictions_table([answered, answered])


@pytest.mark.parametrize(
    ("kind", "given_value", "kept"),
    [
        (pa.int64(), 3.0, 3),
        (pa.int64(), None, None),
        (pa.float32(), 3, 3.0),
        (pa.string(), 3, "3"),
        (pa.string(), True, "true"),
        (pa.timestamp("us"), "2020-01-02T03:04:05", dt.datetime(2020, 1, 2, 3, 4, 5)),
        (
            pa.timestamp("ms", "UTC"),
            "2020-01-02T04:04:05+01:00",
            dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        ),
        (pa.date32(), "2020-01-02", dt.date(2020, 1, 2)),
        (pa.timestamp("us"), dt.date(2020, 1, 2), dt.datetime(2020, 1, 2)),
        (pa.decimal128(9, 2), 1.5, decimal.Decimal("1.50")),
        (pa.binary(), b"\x89PNG", b"\x89PNG"),
        (pa.list_(pa.float32(), 2), [1, 2], [1.0, 2.0]),
        (pa.list_(pa.string()), ["a", "b"], ["a", "b"]),
        (pa.dictionary(pa.int32(), pa.string()), "a", "a"),
        (pa.bool_(), False, False),
    ],
)
def test_a_value_is_kept_in_its_column_s_type(kind: pa.DataType, given_value: Any, kept: Any) -> None:
    table = recorded({"x": kind}, {"x": [given_value]})
    assert [row["x"] for row in table.column("inputs").to_pylist()] == [kept, kept]
    assert table.column("unfit").to_pylist() == [None, None]
    assert table.schema.field("inputs").type.field("x").type == kind


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (pa.int64(), 3.5, '{"x": 3.5}'),
        (pa.int8(), 300, '{"x": 300}'),
        (pa.list_(pa.int64()), [1, 2.5], '{"x": [1, 2.5]}'),
        (pa.float64(), "n/a", '{"x": "n/a"}'),
        (pa.timestamp("us"), "soon", '{"x": "soon"}'),
        (pa.timestamp("us"), 1.5e12, '{"x": 1500000000000.0}'),
        (pa.date32(), 3, '{"x": 3}'),
        (pa.string(), ["北"], '{"x": ["北"]}'),
        (pa.list_(pa.float32(), 2), [1, 2, 3], '{"x": [1, 2, 3]}'),
    ],
)
def test_what_a_column_cannot_hold_is_kept_beside_it(kind: pa.DataType, value: Any, text: str) -> None:
    table = recorded({"x": kind, "z": pa.int64()}, {"x": [None, value], "z": [1, 2]})
    assert table.column("inputs").to_pylist()[:2] == [{"x": None, "z": 1}, {"x": None, "z": 2}]
    assert table.column("unfit").to_pylist() == [None, text, None, text]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
types = st.sampled_from(
    [
        pa.int64(),
        pa.float64(),
        pa.string(),
        pa.bool_(),
        pa.timestamp("us"),
        pa.list_(pa.float64()),
        pa.binary(),
    ]
)


@given(types, st.lists(json_values, min_size=1, max_size=4))
def test_no_value_is_lost(kind: pa.DataType, values: list[Any]) -> None:
    table = recorded({"x": kind}, {"x": values})
    kept = zip(table.column("inputs").to_pylist(), table.column("unfit").to_pylist(), values * 2, strict=True)
    for row, unfit, value in kept:
        assert (row["x"] is None) == (value is None or unfit is not None)


def test_a_table_appears_whole_under_one_name(tmp_path: Path) -> None:
    table = recorded({"x": pa.int64()}, {"x": [1, 2]})
    path = write_aside(table, tmp_path / "deep" / "er")
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert pq.read_table(path).equals(table)
    assert table.column("time").to_pylist()[0] == dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)
    assert table.column("version").to_pylist() == [3] * 4
