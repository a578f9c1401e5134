"""Nested columns in CSV: structs as columns of their own, lists as JSON text, no name twice."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.data.flat import flat_batch, flat_schema
from orrery.data.table import read
from orrery.errors import SchemaError

ROWS: list[dict[str, Any]] = [
    {"id": 1, "probabilities": {"cat": 0.75, "a dog 狗": 0.25}, "tags": ["x", 'y"'], "deep": {"v": [1.5]}},
    {"id": 2, "probabilities": None, "tags": None, "deep": None},
]


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_structs_become_columns_and_lists_json(name: str) -> None:
    again = read(ROWS).write(name)
    if name.endswith(".gz"):
        assert gzip.decompress(Path(name).read_bytes()).startswith(b'"id"')
    flat = ["id", "probabilities.cat", "probabilities.a dog 狗", "tags", "deep.v"]
    assert list(again.schema.names) == flat
    first, second = again.to_rows()
    assert (first["probabilities.cat"], first["probabilities.a dog 狗"]) == (0.75, 0.25)
    assert (json.loads(first["tags"]), json.loads(first["deep.v"])) == (["x", 'y"'], [1.5])
    assert second == {**dict.fromkeys(flat), "id": 2}


def test_a_name_that_is_taken_is_not_used_twice() -> None:
    rows = [{"p": {"a": 1, "a_2": 2}, "p.a": 3}]
    assert read(rows).write("x.csv").to_rows() == [{"p.a_2": 1, "p.a_2_2": 2, "p.a": 3}]


@given(names=st.lists(st.sampled_from(["p", "p.a", "p.a_2", "p.b", "q"]), unique=True, min_size=1))
def test_no_name_comes_twice(names: list[str]) -> None:
    struct = pa.struct([("a", pa.int64()), ("a_2", pa.int64()), ("b", pa.struct([("a", pa.int64())]))])
    schema = pa.schema([(name, struct if i % 2 else pa.int64()) for i, name in enumerate(names)])
    flat = flat_schema(schema).names
    assert len(flat) == len(set(flat))
    assert [name for i, name in enumerate(names) if i % 2 == 0] == [n for n in flat if n in names[::2]]
    assert flat_batch(pa.RecordBatch.from_pylist([{}], schema), flat_schema(schema)).num_rows == 1


def test_bytes_are_refused_wherever_they_lie() -> None:
    with pytest.raises(SchemaError, match=r"'p\.b' is binary, which CSV cannot hold"):
        read([{"p": {"b": b"x"}}]).write("x.csv")
    assert list(Path().iterdir()) == []


def test_instants_before_standard_time_go_round() -> None:
    early = pa.array([-4_000_000_000_123_456, 0, None], pa.int64()).cast(
        pa.timestamp("us", "Europe/Amsterdam")
    )
    read(pa.table({"at": early, "in": pa.StructArray.from_arrays([early], ["at"])})).write("x.csv")
    expected = early.cast(pa.timestamp("us", "UTC")).to_pylist()
    found = read("x.csv").to_arrow()
    assert found["at"].to_pylist() == expected
    assert found["in.at"].to_pylist() == expected
