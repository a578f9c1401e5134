"""One row through a loaded model, in process: 40 columns of every kind, by each learner.

Ours is the runner that serves it: columns of one value in, a dictionary with its answer out. The reference is
the same predictor called bare, on features that were made before; what lies between the two is checking,
features and the answer. The share of the time spent in features is told beside, and ``model.predict``.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import orrery as ory
from benchmarks import harness
from orrery.serving.compiled.plan import CompiledPlan
from orrery.serving.runner import Runner

LEARNERS = ("linear", "boosted", "network")
CALLS = 2_000
WARM = 200


def rows(count: int = 1_500) -> list[dict[str, Any]]:
    """20 numbers with gaps, 14 categories, 3 dates, 3 texts; two classes."""
    draw = np.random.default_rng(0)
    words = np.array(["quick", "slow", "red", "green", "tall", "small", "old", "new"])
    start = dt.datetime(2024, 1, 1)
    made = []
    for _ in range(count):
        numbers = draw.normal(size=20)
        gaps = draw.random(20) < 0.05
        row: dict[str, Any] = {f"n{i}": None if gaps[i] else float(v) for i, v in enumerate(numbers)}
        row |= {f"c{i}": f"v{draw.integers(0, 5 + 10 * i)}" for i in range(14)}
        row |= {f"d{i}": start + dt.timedelta(minutes=int(draw.integers(0, 10**6))) for i in range(3)}
        row |= {f"t{i}": " ".join(draw.choice(words, 6)) for i in range(3)}
        row["y"] = "yes" if numbers[0] + (row["c3"] == "v1") + draw.normal() > 0 else "no"
        made.append(row)
    return made


def microseconds(call: Callable[[], object], calls: int = CALLS) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How long each of some calls takes."""
    took = np.empty(calls)
    for i in range(calls):
        start = time.perf_counter_ns()
        call()
        took[i] = time.perf_counter_ns() - start
    return took / 1e3


def measure() -> list[dict[str, Any]]:
    """p50, p99 and the share of features, for each learner."""
    data = rows()
    return [found for learner in LEARNERS for found in _of_learner(learner, data)]


def _of_learner(learner: str, data: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    settings: dict[str, Any] = {"epochs": 2} if learner == "network" else {}
    with tempfile.TemporaryDirectory() as folder:
        fitted = ory.fit(data, "y", learner=learner, progress=False, **settings)
        model = ory.Model.load(fitted.save(Path(folder) / "model"))
    row = {name: value for name, value in data[7].items() if name != "y"}
    columns = {name: [row[name]] for name in model.signature.inputs.names}
    blocks = model.plan.encode_values(columns)
    runner, plan = Runner(model), CompiledPlan(model.plan)
    whole, bare = (lambda: runner.predict_columns(columns, 1)), (lambda: model.predictor.predict(blocks))
    features = lambda: plan.encode(columns, 1)  # noqa: E731
    for call in (whole, bare, features):
        microseconds(call, WARM)
    who = "the predictor alone, on features made before"
    for name, share in (("p50", 50), ("p99", 99)):
        yield harness.paired(
            f"one row, 40 columns, {learner}: {name}",
            lambda share=share: float(np.percentile(microseconds(whole), share)),  # type: ignore[misc]
            lambda share=share: float(np.percentile(microseconds(bare), share)),  # type: ignore[misc]
            unit="us",
            who=who,
        )
    yield harness.paired(
        f"one row, 40 columns, {learner}: features",
        lambda: float(np.median(microseconds(features))),
        lambda: float(np.median(microseconds(whole))),
        unit="us",
        who="the whole prediction (the ratio is their share)",
    )
    yield harness.paired(
        f"one row, 40 columns, {learner}: the runner",
        lambda: float(np.median(microseconds(whole))),
        lambda: float(np.median(microseconds(lambda: model.predict(row)))),
        unit="us",
        who="model.predict",
    )
    many = {name: [r[name] for r in data[:64]] for name in columns}
    yield harness.paired(
        f"64 rows, 40 columns, {learner}: per row",
        lambda: float(np.median(microseconds(lambda: runner.predict_columns(many, 64), 100))) / 64,
        lambda: float(np.median(microseconds(lambda: model.predict_values(many, 64), 100))) / 64,
        unit="us",
        who="model.predict",
    )


if __name__ == "__main__":
    raise SystemExit(0 if harness.run("predict", measure()) else 1)
