"""Answers as Spark ML has them; no Spark is needed for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import orrery as ory
from orrery.errors import SchemaError
from orrery.estimators.spark_worker import arguments, inputs_of, storable
from orrery.features.target import Target
from orrery.spark.vectors import INDEX, PREDICTION, PROBABILITY, RAW, MlAnswer, meanings, places


def answers(labels: list[Any]) -> dict[str, list[Any]]:
    model = ory.fit([{"x": float(i), "y": labels[i % len(labels)]} for i in range(60)], "y", learner="linear")
    asked = meanings(model.signature.target)
    columns = MlAnswer(asked)(model, pa.record_batch({"x": [1.0, 2.0]}))
    return dict(zip(asked, [column.to_pylist() for column in columns], strict=True))


def test_classes_of_numbers_stand_at_their_own_place() -> None:
    found = answers([0.0, 2.0])
    assert all(value in (0.0, 2.0) for value in found[PREDICTION])
    assert found[INDEX] == found[PREDICTION]
    for shares, raw in zip(found[PROBABILITY], found[RAW], strict=True):
        assert (shares["type"], shares["size"], shares["indices"]) == (1, None, None)
        assert shares["values"][1] == 0.0
        assert sum(shares["values"]) == pytest.approx(1.0)
        assert np.exp(raw["values"]) == pytest.approx(shares["values"])


def test_classes_of_other_kinds_keep_their_order() -> None:
    found = answers(["b", "a"])
    assert set(found[PREDICTION]) <= {"a", "b"}
    assert found[INDEX] == [float(["a", "b"].index(value)) for value in found[PREDICTION]]
    assert set(answers([True, False])[PREDICTION]) <= {0.0, 1.0}
    negative = Target(name="y", kind="category", type="int64", labels=(-1, 1), width=2)
    assert places(negative).tolist() == [0, 1]


def test_numbers_have_a_prediction_only() -> None:
    target = Target(name="y", kind="number", type="int32")
    assert meanings(target) == (PREDICTION,)


def test_vectors_of_spark_are_inputs() -> None:
    rows = [{"v": [float(i), 1.0], "y": 2.0 * i} for i in range(30)]
    model = ory.fit(rows, "y", learner="linear")
    kind = pa.struct(
        [
            ("type", pa.int8()),
            ("size", pa.int32()),
            ("indices", pa.list_(pa.int32())),
            ("values", pa.list_(pa.float64())),
        ]
    )
    dense = {"type": 1, "size": None, "indices": None, "values": [3.0, 1.0]}
    sparse = {"type": 0, "size": 2, "indices": [0, 1], "values": [3.0, 1.0]}
    batch = inputs_of(model, {"v": pa.array([dense, sparse], kind)})
    assert model.predict_batch(batch).column("prediction").to_pylist() == pytest.approx([6.0, 6.0], rel=1e-3)
    nothing = inputs_of(model, {"v": pa.array([None], kind)})
    assert model.predict_batch(nothing).num_rows == 1


def test_arguments_have_names() -> None:
    model = ory.fit([{"a": float(i), "y": 2.0 * i} for i in range(30)], "y", learner="linear")
    column = pa.array([1.0])
    assert list(arguments(model, (pa.StructArray.from_arrays([column], ["a"]),), {})) == ["a"]
    assert list(arguments(model, (column,), {})) == ["a"]
    with pytest.raises(SchemaError, match="2 arguments"):
        arguments(model, (column, column), {})


def test_answers_have_types_that_spark_has() -> None:
    assert storable(pa.array([1], pa.uint64())).type == pa.decimal128(20, 0)
    assert storable(pa.array(["a"]).dictionary_encode()).to_pylist() == ["a"]
    assert storable(pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2))).type == pa.list_(pa.float64())
