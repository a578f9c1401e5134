"""Made-up rows, as a frame of Spark, and what is learnt from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

import orrery as ory
from orrery.learners.network import Network

ROWS = 1_001


def rows(count: int = ROWS) -> Any:
    chance = np.random.default_rng(5)
    x, z = chance.normal(size=count), chance.normal(size=count)
    kind = np.where(x + 0.3 * chance.normal(size=count) > 0, "yes", "no")
    return pa.table({"x": x, "z": z, "kind": pa.array(kind.tolist())})


def frame_of(spark: Any, table: Any, partitions: int) -> Any:
    """The rows in partitions of very different size, some of them empty."""
    found = spark.createDataFrame(table)
    return found.repartitionByRange(partitions, found.x * found.x) if partitions > 1 else found.coalesce(1)


def weights(model: ory.Model) -> np.ndarray[Any, Any]:
    from safetensors.numpy import load

    return np.concatenate(
        [each.ravel() for _, each in sorted(load(model.predictor.files()["weights.safetensors"]).items())]
    )


def fitted(table: Any, **settings: Any) -> ory.Model:
    learner = Network(epochs=3, batch_size=64)
    return ory.fit(table, "kind", learner=learner, workers=2, progress=False, **settings)
