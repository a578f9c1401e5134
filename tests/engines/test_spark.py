"""The engine of Spark, in one JVM: passes, fits that equal those of this machine, and what can be wrong."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import orrery as ory
from orrery.engines.find import engine_of
from orrery.engines.job import Each, Gang, Gather, Map
from orrery.engines.spark import Spark
from orrery.errors import EmptyTableError, EngineError, FitError, SlotsError, WorkerError
from orrery.learners.network import Network

ROWS = 1_001


def rows(count: int = ROWS) -> Any:
    chance = np.random.default_rng(5)
    x, z = chance.normal(size=count), chance.normal(size=count)
    kind = np.where(x + 0.3 * chance.normal(size=count) > 0, "yes", "no")
    return pa.table({"x": x, "z": z, "kind": kind.astype(str)})


def frame_of(spark: Any, table: Any, partitions: int) -> Any:
    """The rows in partitions of very different size, some of them empty."""
    found = spark.createDataFrame(table)
    return found.repartitionByRange(partitions, found.x * found.x) if partitions > 1 else found.coalesce(1)


def weights(model: ory.Model) -> np.ndarray[Any, Any]:
    from safetensors.numpy import load

    return np.concatenate([each.ravel() for _, each in sorted(load(model.predictor._files["weights.safetensors"]).items())])


def fitted(table: Any, **settings: Any) -> ory.Model:
    learner = Network(epochs=3, batch_size=64)
    return ory.fit(table, "kind", learner=learner, workers=2, progress=False, **settings)


def test_a_fit_on_spark_equals_the_fit_on_this_machine(spark: Any) -> None:
    whole = rows()
    frame = frame_of(spark, whole, 5)
    there = fitted(frame, engine=Spark(spark))
    here = fitted(frame)
    np.testing.assert_allclose(weights(there), weights(here), atol=1e-5)
    facts = there.lineage["gang"]
    assert sum(facts["rows_read"]) == ROWS
    assert facts["rows_per_epoch"] == here.lineage["gang"]["rows_per_epoch"]
