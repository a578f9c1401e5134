"""Feeds of small tables, made as an estimator makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from orrery.data.table import read
from orrery.features.feature import Encoded
from orrery.features.plan import FeaturePlan
from orrery.features.target import Target, fit_target
from orrery.learners.learner import Learner
from orrery.schema import Kind
from orrery.training.feed import Feed


class Fed(NamedTuple):
    """A learner's features of a table, and the rows encoded for it."""

    plan: FeaturePlan
    feed: Feed

    @property
    def target(self) -> Target:
        return self.feed.target

    def encode(self, rows: Mapping[str, Any]) -> dict[str, Encoded]:
        return self.plan.encode(pa.record_batch(dict(rows)))


Feeder = Callable[..., Fed]


@pytest.fixture
def feeder() -> Feeder:
    """Call with columns, a learner and the kinds; the column to predict is ``y``."""

    def build(
        columns: Mapping[str, Any],
        learner: Learner,
        kinds: Mapping[str, str],
        *,
        validation: Mapping[str, Any] | None = None,
        weight: str | None = None,
    ) -> Fed:
        table = read(pa.table(dict(columns)), kinds=kinds)
        target = fit_target(table, "y", Kind(kinds["y"]))
        inputs = table.without("y", *([weight] if weight else []))
        features = learner.features(inputs.schema, inputs.describe(), target)
        plan = FeaturePlan.fit(features, table)
        held = None if validation is None else read(pa.table(dict(validation)), kinds=kinds)
        return Fed(plan, Feed.build(plan, target, table, validation=held, weight=weight))

    return build


def _table(rows: int, seed: int, y: Callable[[Any, Any, Any], Any]) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(rows, 4))
    city = chance.integers(0, 5, rows)
    x[chance.random((rows, 4)) < 0.05] = np.nan
    columns: dict[str, Any] = {f"x{i}": x[:, i] for i in range(4)}
    columns["city"] = pa.array([None if c == 4 else f"city {c}" for c in city])
    return columns | {"y": y(np.nan_to_num(x), city, chance)}


Mixed = tuple[dict[str, Any], dict[str, str]]


@pytest.fixture(params=["two classes", "three classes", "number", "labels", "vector"])
def mixed(request: pytest.FixtureRequest) -> Mixed:
    """300 rows of four numbers and a category, some missing, with a target of each kind."""
    kinds = {f"x{i}": "number" for i in range(4)} | {"city": "category"}
    made: dict[str, tuple[str, Callable[[Any, Any, Any], Any]]] = {
        "two classes": ("category", lambda x, c, r: np.where(x[:, 0] + c - 2 > 0, "yes", "no")),
        "three classes": ("category", lambda x, c, r: np.digitize(x[:, 0] + c - 2, [-1, 1])),
        "number": ("number", lambda x, c, r: x[:, 0] * 3 + c + 10),
        "labels": ("labels", lambda x, c, r: [["a"] * int(v > 0) + ["b"] * int(w > 0) for v, w in x[:, :2]]),
        "vector": (
            "vector",
            lambda x, c, r: pa.array((x[:, :2] * 2 + 1).tolist(), pa.list_(pa.float64(), 2)),
        ),
    }
    kind, y = made[request.param]
    return _table(300, 7, y), kinds | {"y": kind}
