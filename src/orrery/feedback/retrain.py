"""Retraining: the champion's own recipe on its old rows and on what happened since."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pyarrow as pa

from orrery.data.table import Table
from orrery.estimators.model import Model
from orrery.feedback.drift import fitted_on
from orrery.feedback.join import champion_of, feedback
from orrery.training.events import Observer


def retrain(
    name: str, table: Table | None = None, *, new: Table | None = None, observers: Sequence[Observer] = ()
) -> Model:
    """Fit the champion's estimator again, on the old rows and the new ones together.

    ``table`` holds the old rows, by default those the champion was fitted on, read again where they lie;
    ``new`` the new ones, by default every recorded prediction whose outcome is known. The model is not
    published: :func:`orrery.publish` compares it with the champion.
    """
    version, champion = champion_of(name)
    old = table if table is not None else fitted_on(champion)
    fresh = new if new is not None else feedback(name)
    columns = [*champion.signature.inputs.names, champion.signature.target.name]
    weight = champion.estimator.weight
    if weight is not None:  # what happened since counts like an ordinary row
        columns.append(weight)
        if weight not in fresh.schema:
            fresh = fresh.map(partial(_weighted, weight=weight))
    both = old.select(*columns).union(fresh.select(*columns))
    model = champion.estimator.fit(both, observers=observers)
    model.lineage["parent"] = f"models:/{name}/{version}"
    return model


def _weighted(batch: pa.RecordBatch, weight: str) -> pa.RecordBatch:
    ones = pa.array([1.0] * len(batch), pa.float64())
    return batch.append_column(weight, ones)
