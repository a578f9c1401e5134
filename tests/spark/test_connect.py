"""Spark Connect, on a server of its own: tables, predictions, SQL, Spark ML's stages, and gangs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.engines.visits import ROWS, fitted, rows

import orrery as ory
from orrery.engines.job import Each
from orrery.engines.spark import Spark

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas"),
]


@pytest.fixture
def visits(spark_connect: Any) -> Any:
    return spark_connect.createDataFrame(rows()).repartition(3)


def test_a_table_is_read_and_narrowed_there(visits: Any) -> None:
    table = ory.read(visits)
    assert table.count() == ROWS
    above = sum(x > 0 for x in rows().column("x").to_pylist())
    assert table.where("x > 0").select("x").count() == above
    assert sorted(table.to_arrow().column("x").to_pylist()) == sorted(rows().column("x").to_pylist())


def test_a_model_answers_on_frames_and_in_sql(visits: Any, spark_connect: Any) -> None:
    model = ory.fit(rows(), "kind", learner="linear")
    found = model.transform(visits).select("x", "prediction").collect()
    asked = dict(zip(rows().column("x").to_pylist(), model.predict(rows().to_pylist()), strict=True))
    assert {row.x: row.prediction for row in found} == {x: one["prediction"] for x, one in asked.items()}
    model.register(spark_connect, "predict")
    visits.createOrReplaceTempView("visits")
    said = spark_connect.sql("select x, predict(x => x, z => z).prediction as p from visits").collect()
    assert {row.x: row.p for row in said} == {row.x: row.prediction for row in found}


def test_a_stage_of_spark_ml_learns_and_answers(visits: Any) -> None:
    import orrery.spark

    stage = orrery.spark.Estimator(target="kind", learner="linear").fit(visits)
    answered = stage.transform(visits)
    assert answered.columns == ["x", "z", "kind", "prediction", "probability", "rawPrediction"]
    assert answered.where("prediction = kind").count() > 0.8 * ROWS


def test_a_gang_learns_on_the_executors(visits: Any, spark_connect: Any) -> None:
    engine = Spark(spark_connect)
    assert engine.submit(engine.plan(Each(task=abs, items=[-1, 2, -3]))).result() == [1, 2, 3]
    gang = fitted(visits, engine=engine).lineage["gang"]
    assert sum(gang["rows_read"]) == ROWS
    assert len(gang["rows_per_epoch"]) == 1
