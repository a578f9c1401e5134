"""Streams: exactly their rows, and a model that is swapped while they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import orrery as ory
from orrery.errors import ModelError, ModelNotFoundError
from orrery.estimators.model import Model
from orrery.registry.folder import FolderRegistry
from orrery.registry.url import ModelUrl
from orrery.spark.stream import Followed, Watch, _answers, transform


def times(factor: float) -> Model:
    return ory.fit([{"x": float(i), "y": factor * i} for i in range(40)], "y", learner="linear")


@pytest.fixture(scope="module")
def models() -> tuple[Model, Model]:
    return times(2.0), times(-3.0)


def published(registry: FolderRegistry, model: Model, folder: Path) -> int:
    version = registry.publish(model.save(folder / "model"), "slope")
    return version.version


@pytest.fixture
def registry(tmp_path: Path, models: tuple[Model, Model]) -> FolderRegistry:
    """Two versions of one model; the first is the champion."""
    registry = FolderRegistry(tmp_path / "registry")
    for i, model in enumerate(models):
        (tmp_path / str(i)).mkdir()
        published(registry, model, tmp_path / str(i))
    registry.alias("slope", "champion", 1)
    return registry


def watch(registry: FolderRegistry, model: Model, columns: tuple[str, ...] = ("x",)) -> Watch:
    url = ModelUrl.parse("models:/slope@champion")
    return Watch(Followed(str(registry.root), url, 1, columns, _answers(model)))


def slope(model: Model) -> float:
    return round(float(model.predict({"x": 10.0})["prediction"]) / 10.0)


def test_a_worker_follows_the_alias(
    registry: FolderRegistry, models: tuple[Model, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("orrery.spark.stream.time.monotonic", lambda: now[0])
    seen = watch(registry, models[0])
    assert slope(seen.model()) == 2
    registry.alias("slope", "champion", 2)
    now[0] = 0.9
    assert slope(seen.model()) == 2  # looked a moment ago
    now[0] = 1.0
    assert slope(seen.model()) == -3
    registry.alias("slope", "champion", None)
    now[0] = 2.0
    assert slope(seen.model()) == -3  # the alias is gone: who answers goes on


def test_a_version_that_does_not_fit_is_not_let_in(
    registry: FolderRegistry, models: tuple[Model, Model], tmp_path: Path
) -> None:
    other = ory.fit([{"x": float(i), "y": "ab"[i % 2]} for i in range(40)], "y", learner="linear")
    (tmp_path / "other").mkdir()
    registry.alias("slope", "champion", published(registry, other, tmp_path / "other"))
    seen = watch(registry, models[0])
    assert slope(seen.model()) == 2  # a new worker goes on with the version of the query's start
    with pytest.raises(ModelError, match="It adds"):
        seen._opened(registry.get("slope", "champion"))
    gone = Watch(Followed(str(tmp_path / "absent"), seen.followed.url, 1, ("x",), ()))
    with pytest.raises(ModelNotFoundError, match="must see the registry's folder"):
        gone.model()


@pytest.mark.slow
def test_the_model_is_swapped_while_a_stream_runs(
    registry: FolderRegistry, spark: Any, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    stream = spark.readStream.schema("id long, x double").parquet(str(source))
    answered = transform(stream, "models:/slope@champion", registry=registry.root)
    query = answered.writeStream.format("memory").queryName("answers").start()
    slopes: list[int] = []
    try:
        while -3 not in slopes and len(slopes) < 600:
            low = len(slopes)
            rows = {"id": list(range(low, low + 10)), "x": [10.0 + i for i in range(10)]}
            pq.write_table(pa.table(rows), tmp_path / "next.parquet")
            (tmp_path / "next.parquet").rename(source / f"{low}.parquet")
            query.processAllAvailable()
            registry.alias("slope", "champion", 2)  # after the first rows were answered
            found = spark.table("answers").orderBy("id").collect()
            assert [row.id for row in found] == list(range(low + 10))
            slopes = [round(row.prediction / row.x) for row in found]
    finally:
        query.stop()
    assert slopes[:10] == [2] * 10
    assert slopes == sorted(slopes, reverse=True)
    assert slopes[-1] == -3


@pytest.mark.slow
def test_a_frame_is_answered_by_the_version_of_now(registry: FolderRegistry, spark: Any) -> None:
    frame = spark.createDataFrame([(10.0,)], "x double")
    for version, expected in ((1, 2), (2, -3)):
        registry.alias("slope", "champion", version)
        (row,) = transform(frame, "models:/slope@champion", registry=registry.root).collect()
        assert round(row.prediction / row.x) == expected
    stream = spark.readStream.format("rate").load().selectExpr("cast(value as double) as x")
    assert "prediction" in transform(stream, "models:/slope/2", registry=registry.root).columns
