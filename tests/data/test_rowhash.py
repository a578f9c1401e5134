"""Row hashes: the same row, the same hash, however it lies."""

from __future__ import annotations

import datetime as dt
import decimal
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.rowhash import column_hashes, row_hashes
from orrery.errors import UnknownColumnError

VALUES: dict[str, tuple[Any, Any]] = {
    "int": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "float": (pa.float64(), st.floats()),
    "text": (pa.string(), st.text(max_size=100)),
    "bytes": (pa.binary(), st.binary(max_size=200)),
    "bool": (pa.bool_(), st.booleans()),
    "date": (pa.date32(), st.dates()),
    "list": (pa.list_(pa.string()), st.lists(st.text(max_size=5) | st.none(), max_size=5)),
    "vector": (pa.list_(pa.float32(), 2), st.lists(st.floats(width=32), min_size=2, max_size=2)),
    "struct": (
        pa.struct([("a", pa.int8()), ("b", pa.string())]),
        st.fixed_dictionaries({"a": st.integers(-9, 9)}),
    ),
}


@pytest.mark.parametrize("kind", list(VALUES))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_order_and_cut_do_not_matter(kind: str, data: st.DataObject) -> None:
    arrow, strategy = VALUES[kind]
    values = data.draw(st.lists(strategy | st.none(), min_size=1, max_size=20))
    batch = pa.record_batch({"a": pa.array(values, arrow)})
    hashes = row_hashes(batch)
    order = data.draw(st.permutations(range(len(values))))
    assert hashes[list(order)].tolist() == row_hashes(batch.take(pa.array(order))).tolist()
    assert [row_hashes(batch.slice(i, 1))[0] for i in range(len(values))] == hashes.tolist()


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.array([3], pa.int8()), pa.array([3.0])),
        (pa.array([3], pa.uint64()), pa.array([3], pa.int64())),
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array([float("nan")]), pa.array([None], pa.float64())),
        (pa.array([None], pa.string()), pa.nulls(1)),
        (pa.array([1.5]), pa.array([decimal.Decimal("1.50")])),
        (pa.array(["a"]), pa.array(["a"], pa.large_string())),
        (pa.array(["a"]), pa.array(["a"]).dictionary_encode()),
        (pa.array([dt.date(2020, 1, 2)]), pa.array([dt.datetime(2020, 1, 2)], pa.timestamp("ns"))),
        (pa.array([[1.0, 2.0]]), pa.array([[1, 2]], pa.list_(pa.int16(), 2))),
    ],
)
def test_equal_values_of_other_types_hash_equally(left: Any, right: Any) -> None:
    assert column_hashes(left).tolist() == column_hashes(right).tolist()


@pytest.mark.parametrize(
    "values",
    [
        ["", "a", "aa", "ab", "ba", None],
        [[], [None], ["a"], ["a", "a"], ["aa"], None],
        [0, 1, -1, 2**62, None],
    ],
)
def test_other_values_hash_otherwise(values: list[Any]) -> None:
    assert len(set(column_hashes(pa.array(values)).tolist())) == len(values)


def test_hashes_are_spread_evenly() -> None:
    numbers = row_hashes(pa.record_batch({"a": np.arange(100_000)}))
    texts = row_hashes(pa.record_batch({"a": [f"row {i}" for i in range(100_000)]}))
    for hashes in (numbers, texts):
        counts = np.bincount((hashes >> np.uint64(56)).astype(np.int64), minlength=256)
        assert ((counts - 390.625) ** 2 / 390.625).sum() < 340  # chi square of 255 degrees, p = 0.0003
        assert len(np.unique(hashes)) == 100_000


def test_seed_columns_and_names_matter() -> None:
    batch = pa.record_batch({"a": [1], "b": [2]})
    hashes = {
        int(row_hashes(batch)[0]),
        int(row_hashes(batch, seed=1)[0]),
        int(row_hashes(batch, ["a"])[0]),
        int(row_hashes(pa.record_batch({"a": [2], "b": [1]}))[0]),
    }
    assert len(hashes) == 4
    with pytest.raises(UnknownColumnError):
        row_hashes(batch, ["c"])


def test_another_process_agrees() -> None:
    code = (
        "import pyarrow as pa; from orrery.data.rowhash import row_hashes;"
        "print(row_hashes(pa.record_batch({'a': ['x', None], 'b': [1.5, 2.0]})).tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    batch = pa.record_batch({"a": ["x", None], "b": [1.5, 2.0]})
    assert said.strip() == str(row_hashes(batch).tolist())
    assert row_hashes(batch).tolist() == [
        9016597173386378779,
        17393706356782183152,
    ]  # for ever: splits of old runs depend on it
