"""Who reads the rows of a gang on Spark, how often, and that it makes no difference to what is learnt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.engines.visits import ROWS, fitted, rows, weights

import orrery as ory
from orrery.data.split import Part
from orrery.engines.local import Local
from orrery.engines.spark import Spark
from orrery.errors import SettingsError
from orrery.estimators.leaks import Sampled
from orrery.training.rows import pulled


@pytest.fixture
def files(tmp_path: Path) -> str:
    """The rows in four files of different size."""
    folder, whole = tmp_path / "visits", rows()
    folder.mkdir()
    for i, (low, high) in enumerate([(0, 10), (10, 500), (500, 501), (501, ROWS)]):
        pq.write_table(whole.slice(low, high - low), folder / f"{i}.parquet", row_group_size=120)
    return str(folder)


def test_files_that_are_fed_and_files_that_workers_read_give_equal_weights(spark: Any, files: str) -> None:
    fed = fitted(files, engine=Spark(spark), feed="push")
    read = fitted(files, engine=Spark(spark), feed="pull")
    assert weights(fed).tolist() == weights(read).tolist()
    assert sum(fed.lineage["gang"]["rows_read"]) == sum(read.lineage["gang"]["rows_read"]) == ROWS
    assert fed.lineage["gang"]["rows_per_epoch"] == read.lineage["gang"]["rows_per_epoch"]


def test_a_frame_of_files_that_is_fed_and_its_files_give_equal_weights(spark: Any, files: str) -> None:
    frame = spark.read.parquet(files)
    fed = fitted(frame, engine=Spark(spark), feed="push")
    read = fitted(frame, engine=Spark(spark), feed="pull")
    assert weights(fed).tolist() == weights(read).tolist()
    assert sum(read.lineage["gang"]["rows_read"]) == ROWS


def test_what_cannot_be_read_or_fed_says_so(spark: Any, files: str) -> None:
    computed = ory.read(spark.read.parquet(files).where("x > 0"))
    with pytest.raises(SettingsError, match=r"feed='pull' needs rows that workers can read themselves"):
        pulled(computed)
    with pytest.raises(SettingsError, match="feed='push' needs an engine that reads rows"):
        fitted(files, engine=Local(threads=2), feed="push")
    with pytest.raises(SettingsError, match="feed='pusch' is wrong"):
        fitted(files, engine=Local(threads=2), feed="pusch")


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
def test_a_fit_computes_a_frame_once(spark: Any) -> None:
    """However many passes it makes: over rows that Spark keeps meanwhile, and lets go of afterwards."""
    computed = spark.sparkContext.accumulator(0)

    def count(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            computed.add(batch.num_rows)
            yield batch

    frame = spark.createDataFrame(rows()).repartition(3)
    counted = frame.mapInArrow(count, frame.schema)
    model = fitted(counted, engine=Spark(spark))
    assert computed.value == ROWS
    assert not counted.storageLevel.useDisk
    assert sum(model.lineage["gang"]["rows_read"]) == ROWS


def test_the_passes_of_a_fit_are_made_on_the_executors(spark: Any) -> None:
    """Of a split, and of the search for leaks, as of features: no row comes to this process for them."""
    engine, here = Spark(spark), ory.read(rows())
    there = ory.read(spark.createDataFrame(rows()).repartition(8))
    train, _ = there.split(0.8, stratify="kind")
    part = train.steps[-1]
    assert isinstance(part, Part)
    part.cuts.learn(engine)
    sample = there.aggregate(Sampled(100), engine)
    assert there.source.bytes_read == 0
    assert sorted(train.to_arrow().column("x").to_pylist()) == sorted(
        here.split(0.8, stratify="kind")[0].to_arrow().column("x").to_pylist()
    )
    assert sample.equals(here.aggregate(Sampled(100)))
