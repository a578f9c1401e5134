"""Data frames of Spark: every column and row kept, in order; the model opened once per worker; SQL."""

from __future__ import annotations

from typing import Any

import pytest

import orrery as ory
from orrery.errors import SchemaError, SettingsError, UnknownColumnError
from orrery.estimators import spark_worker
from orrery.estimators.model import Model

pytestmark = pytest.mark.slow

ROWS = [{"size": float(i), "a.b": "xyz"[i % 3], "kind": "cat" if i > 50 else "dog"} for i in range(100)]


@pytest.fixture(scope="module")
def model() -> Model:
    return ory.fit(ROWS, "kind", learner="linear")


@pytest.fixture
def frame(spark: Any) -> Any:
    """Rows with a name, and columns that the model does not read; in three partitions."""
    rows = [(i, row["size"], row["a.b"], {"k": i}, None) for i, row in enumerate(ROWS)]
    types = "id long, size double, `a.b` string, tags map<string, int>, nothing string"
    return spark.createDataFrame(rows, types).repartition(3).sortWithinPartitions("id").cache()


def here(model: Model) -> dict[int, dict[str, Any]]:
    inputs = [{"size": row["size"], "a.b": row["a.b"]} for row in ROWS]
    return dict(enumerate(model.predict(inputs)))


def test_columns_and_rows_are_kept_in_order(model: Model, frame: Any) -> None:
    answered = model.transform(frame)
    assert answered.columns == [*frame.columns, "prediction", "probability", "probabilities"]
    assert answered.schema.fields[: len(frame.columns)] == frame.schema.fields
    before, after = frame.collect(), answered.collect()
    assert [tuple(row) for row in before] == [tuple(row)[: len(frame.columns)] for row in after]
    expected = here(model)
    for row in after:
        said = row.asDict(recursive=True)
        assert {name: said[name] for name in expected[row.id] if name != "a.b"} == {
            name: value for name, value in expected[row.id].items() if name != "a.b"
        }
    assert model.predict(frame).schema == answered.schema
    assert model.transform(frame.limit(0)).collect() == []


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
def test_the_model_is_opened_once_per_worker(frame: Any) -> None:
    def opened(batches: Any) -> Any:
        import os

        import pyarrow

        for _ in batches:
            yield pyarrow.record_batch({"pid": [os.getpid()], "opened": [spark_worker.opened()]})

    def counts() -> dict[int, int]:
        return {row.pid: row.opened for row in told.collect()}

    told = frame.select("id").mapInArrow(opened, "pid long, opened long")
    before = counts()  # workers are kept, and may have opened the models of other tests
    model = ory.fit(ROWS, "kind", learner="linear", seed=7)
    model.transform(frame).count()
    model.transform(frame.repartition(6)).collect()
    after = counts()
    assert {1} <= {after[pid] - before.get(pid, 0) for pid in after} <= {0, 1}  # 0: a new one, or not asked


def test_what_is_wrong_is_said_before_anything_runs(model: Model, frame: Any, spark: Any) -> None:
    with pytest.raises(UnknownColumnError, match="lack 'size'"):
        model.transform(frame.drop("size"))
    with pytest.raises(SettingsError, match="already have 'prediction'"):
        model.transform(frame.withColumnRenamed("nothing", "Prediction"))
    with pytest.raises(SchemaError, match="same name: 'id'"):
        model.transform(frame.select("*", "id"))
    failing = spark.range(3).selectExpr("id", "raise_error('ran') as size", "'x' as `a.b`")
    assert "prediction" in model.transform(failing).columns  # asked for, and not run


def test_a_bad_row_names_itself(spark: Any) -> None:
    model = ory.fit([{"v": [float(i), 1.0], "y": 2.0 * i} for i in range(30)], "y", learner="linear")
    rows = [(i, [float(i), 1.0] if i != 17 else [1.0]) for i in range(20)]
    frame = spark.createDataFrame(rows, "id long, v array<double>").coalesce(1)
    with pytest.raises(Exception, match=r"partition 0, row 17: Column 'v'"):
        model.transform(frame).collect()


def test_a_function_of_sql(model: Model, frame: Any, spark: Any) -> None:
    predict = model.register(spark, "predict")
    frame.createOrReplaceTempView("visits")
    expected = {i: row["prediction"] for i, row in here(model).items()}
    rows = spark.sql("select *, predict(struct(*)) as answer from visits").collect()
    assert {row.id: row.answer.prediction for row in rows} == expected
    named = spark.sql("select id, predict(size => size, `a.b` => `a.b`).prediction as p from visits")
    assert {row.id: row.p for row in named.collect()} == expected
    assert frame.select("id", predict("size").alias("p")).columns == ["id", "p"]
    with pytest.raises(Exception, match=r"predict\(struct\(\*\)\)"):
        spark.sql("select predict(*) from visits").collect()
    with pytest.raises(SettingsError, match="cannot be the name"):
        model.register(spark, "not a name")
