"""Vectors of Spark ML in Parquet, written by the real Spark (slow), and by hand in the same layout."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orrery.data.table import read
from orrery.errors import SourceError

VECTOR = pa.struct(
    [
        pa.field("type", pa.int8(), False),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.field("element", pa.int32(), False))),
        ("values", pa.list_(pa.field("element", pa.float64(), False))),
    ]
)


def dense(*values: float) -> dict[str, Any]:
    return {"type": 1, "size": None, "indices": None, "values": list(values)}


def sparse(size: int, **values: float) -> dict[str, Any]:
    places = [int(name[1:]) for name in values]
    return {"type": 0, "size": size, "indices": places, "values": list(values.values())}


def written(vectors: list[Any]) -> Any:
    pq.write_table(pa.table({"v": pa.array(vectors, VECTOR)}), "v.parquet")
    return read("v.parquet")


def test_dense_and_sparse_vectors_are_rows_of_one_length() -> None:
    table = written([None, dense(1.0, 0.0, 2.0), sparse(3, _1=5.0), sparse(3), None])
    field = table.schema["v"]
    assert (str(field.kind), field.shape) == ("vector", (3,))
    assert field.type == "fixed_size_list<item: double>[3]"
    vectors = [row["v"] for row in table.to_rows()]
    assert vectors == [None, [1.0, 0.0, 2.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.0], None]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (dense(1.0), "has 1 numbers, the first one has 2"),
        (sparse(9, _1=1.0), "has 9 numbers"),
        (sparse(2, _7=1.0), "broken"),
        ({"type": 0, "size": 2, "indices": [0, 1], "values": [1.0]}, "broken"),
    ],
)
def test_vectors_that_do_not_fit_are_told(bad: Any, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        written([dense(1.0, 2.0), bad]).to_rows()


def test_vectors_that_would_fill_the_memory_are_refused() -> None:
    with pytest.raises(SourceError, match="1,073,741,824 numbers each"):
        _ = written([sparse(1 << 30, _1=1.0)]).schema


@pytest.mark.slow
def test_vectors_that_spark_wrote(spark: Any) -> None:
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql.types import IntegerType, StructField, StructType

    rows = [(0, Vectors.dense(1.0, 2.0, 3.0)), (1, Vectors.sparse(3, [2], [9.0])), (2, None)]
    schema = StructType([StructField("id", IntegerType()), StructField("v", VectorUDT())])
    frame = spark.createDataFrame(rows, schema).coalesce(1)
    frame.write.parquet(f"file://{os.getcwd()}/spark")  # noqa: PTH109 - an address
    frame.write.orc(f"file://{os.getcwd()}/spark-orc")  # noqa: PTH109
    for folder in ("spark", "spark-orc"):
        found = {row["id"]: row["v"] for row in read(folder).to_rows()}
        assert found == {0: [1.0, 2.0, 3.0], 1: [0.0, 0.0, 9.0], 2: None}
