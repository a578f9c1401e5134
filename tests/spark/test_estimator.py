"""Estimator and Model of Spark ML: pipelines, folds, saved and opened again, with Spark and without."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import orrery as ory
from orrery.errors import ModelNotFoundError, SettingsError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def animals(spark: Any) -> Any:
    """Three kinds of animals, told by a vector, dense in one half and sparse in the other."""
    from pyspark.ml.linalg import Vectors

    rows = [
        (i, Vectors.dense([float(i % 9), 2.0]) if i % 2 else Vectors.sparse(2, [0, 1], [float(i % 9), 2.0]))
        for i in range(90)
    ]
    named = [(i, vector, "cat" if i % 9 > 5 else "dog" if i % 9 > 2 else "emu") for i, vector in rows]
    return spark.createDataFrame(named, ["id", "shape", "name"]).coalesce(1).cache()


def test_a_pipeline_is_fitted_saved_and_opened(animals: Any, tmp_path: Path) -> None:
    from pyspark.ml import Pipeline, PipelineModel
    from pyspark.ml.evaluation import MulticlassClassificationEvaluator
    from pyspark.ml.feature import StringIndexer

    learner = ory_spark().Estimator(target="label", features=["shape"], learner="linear", indexCol="place")
    fitted = Pipeline(stages=[StringIndexer(inputCol="name", outputCol="label"), learner]).fit(animals)
    answered = fitted.transform(animals)
    added = ["label", "prediction", "probability", "rawPrediction", "place"]
    assert answered.columns == ["id", "shape", "name", *added]
    rows = answered.collect()
    assert [row.id for row in rows] == list(range(90))
    assert all(row.prediction == row.place == row.probability.argmax() for row in rows)
    judge = MulticlassClassificationEvaluator(labelCol="label", metricName="accuracy")
    assert judge.evaluate(answered) > 0.9

    fitted.write().overwrite().save(str(tmp_path / "saved"))
    fitted.write().overwrite().save(str(tmp_path / "saved"))
    assert PipelineModel.load(str(tmp_path / "saved")).transform(animals).collect() == rows
    (file,) = tmp_path.glob("saved/stages/1_*/model.zip")
    plain = ory.Model.load(file).predict([{"shape": row.shape.toArray().tolist()} for row in rows])
    assert [list(a["probabilities"].values()) for a in plain] == [r.probability.tolist() for r in rows]
    script = "import sys, orrery as ory; ory.Model.load(sys.argv[1]); assert 'pyspark' not in sys.modules"
    subprocess.run([sys.executable, "-c", script, str(file)], check=True)


@pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool:ResourceWarning")
def test_folds_and_grids(animals: Any) -> None:
    from pyspark.ml.evaluation import RegressionEvaluator
    from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

    numbers = animals.selectExpr("shape", "cast(id % 9 as double) * 2 as size")
    learner = ory_spark().Estimator(target="size", kinds={"size": "number"}, learner="linear")
    grid = ParamGridBuilder().addGrid(learner.settings, [{}]).build()
    search = CrossValidator(
        estimator=learner,
        estimatorParamMaps=grid,
        evaluator=RegressionEvaluator(labelCol="size", metricName="mae"),
        numFolds=2,
        seed=1,
    )
    found = search.fit(numbers)
    assert found.avgMetrics[0] < 0.1
    assert found.bestModel.fitted.signature.inputs.names == ("shape",)
    assert found.transform(numbers).columns == ["shape", "size", "prediction"]
    gc.collect()  # the pool that Spark's CrossValidator leaves open


def test_parameters(spark: Any, tmp_path: Path) -> None:
    kind = ory_spark().Estimator
    learner = kind("y", learner="boosted", settings={"rounds": 5}, workers=2, engine="spark", seed=7)
    learner.save(str(tmp_path / "estimator"))
    again = kind.load(str(tmp_path / "estimator"))
    assert again.extractParamMap() == learner.extractParamMap()
    other = learner.copy({learner.learner: "linear"})
    assert (other.getOrDefault(other.learner), other.uid) == ("linear", learner.uid)
    with pytest.raises(SettingsError, match="Did you mean 'target'"):
        kind(targte="y")
    with pytest.raises(SettingsError):
        kind("y", settings={"rounds": object()})
    with pytest.raises(SettingsError, match="has no target"):
        kind().fit(spark.range(3))
    with pytest.raises(ModelNotFoundError, match=r"model\.zip"):
        ory_spark().Model.load(str(tmp_path / "estimator"))


def ory_spark() -> Any:
    import orrery.spark

    return orrery.spark
