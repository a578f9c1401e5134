"""Scored batches of every kind of outcome, with many ties, weighted or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from orrery.evaluation.scored import Outcome
from orrery.schema import Kind

Make = Callable[..., pa.RecordBatch]
OUTCOMES = {
    "binary": Outcome(Kind.CATEGORY, ("no", "yes"), "churned"),
    "classes": Outcome(Kind.CATEGORY, ("a", "b", "c", "d"), "letter"),
    "number": Outcome(Kind.NUMBER, (), "price"),
    "labels": Outcome(Kind.LABELS, ("drama", "war", "科幻"), "genres"),
    "vector": Outcome(Kind.VECTOR, (), "spectrum"),
}


def lists(values: Any) -> pa.Array:
    """[n, k] as a column of lists."""
    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(values, float).ravel()), values.shape[1]
    )


def make_batch(name: str, rows: int, seed: int, weighted: bool) -> pa.RecordBatch:
    """A scored batch; probabilities are tenths, so that many rows tie."""
    rng = np.random.default_rng(seed)
    outcome = OUTCOMES[name]
    k = outcome.width or 3
    if outcome.kind is Kind.CATEGORY:
        truth = rng.integers(0, k, rows)
        chances = rng.dirichlet(np.ones(k), rows) * 0.6 + 0.4 * np.eye(k)[truth]
        scores = np.stack([rng.multinomial(10, p) for p in chances]) / 10 if rows else np.zeros((0, k))
        columns = {"truth": pa.array(truth, pa.int32())}
    elif outcome.kind is Kind.LABELS:
        hot = rng.integers(0, 2, (rows, k)).astype(float)
        scores = np.round(np.clip(0.5 * hot + rng.random((rows, k)) * 0.6, 0, 1), 1)
        columns = {"truth": lists(hot)}
    else:
        values = rng.normal(1000, 3, (rows, k))
        scores = values + rng.normal(0, 1, (rows, k))
        columns = {"truth": pa.array(values[:, 0]) if outcome.kind is Kind.NUMBER else lists(values)}
    columns["scores"] = lists(scores)
    if weighted:
        columns["weight"] = pa.array(np.where(rng.random(rows) < 0.15, 0.0, rng.exponential(1, rows)))
    columns["city"] = pa.array(rng.choice(["Lyon", "北京", "Oslo"], rows))
    columns["note"] = pa.array([f"row {i % 7}" for i in range(rows)])
    return pa.record_batch(columns)


@pytest.fixture
def outcomes() -> dict[str, Outcome]:
    """One outcome of each kind, by name."""
    return OUTCOMES


@pytest.fixture(scope="session")
def make() -> Make:
    """The maker of scored batches: ``make(name, rows, seed, weighted)``."""
    return make_batch
