"""Runs of LightGBM: the matrix, the parameters, one fit, one cross-validation.

Legend: n rows, D columns, m raw scores per row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orrery.features.feature import Role
from orrery.features.target import Target
from orrery.learners import matrix, openmp, trees
from orrery.learners.folds import Fold
from orrery.schema import Kind
from orrery.training.feed import Feed

Watch = Callable[[int, float], bool]
"""Told each round and its held-out loss (NaN without held-out rows); true ends the run."""

_ONE_THREAD = 100_000  # up to so many values, threads cost more than they give


@dataclass(frozen=True)
class Problem:
    """What to learn: one matrix, and a column of truth for each model of its own."""

    x: Any  # [n, D] float64, dense or sparse
    truths: tuple[NDArray[np.float64], ...]  # one, or one per label or number of a vector
    weight: NDArray[np.float64] | None
    codes: tuple[int, ...]
    """The columns that hold categories."""


class Boosting(NamedTuple):
    """One model's trees, in turn by output, and how much each column helped."""

    trees: list[trees.Tree]
    gains: NDArray[np.float64]  # [D]


def problem(feed: Feed) -> Problem:
    """The matrix of a feed: dense, or sparse where bags would make it large."""
    parts = matrix.spans(feed.outputs, one_hot=False)
    data = feed.all()
    dense = matrix.size_bytes(parts, data.blocks, dense=True)
    if dense <= matrix.size_bytes(parts, data.blocks, dense=False) * 4 or dense <= 16 << 20:
        x: Any = np.empty((feed.rows, matrix.width(parts)))
        matrix.fill(parts, data.blocks, x)
    else:
        x = matrix.sparse(parts, data.blocks, one_hot=False)
    table = np.asarray(data.target, np.float64).reshape(feed.rows, -1)
    weight = None if data.weight is None else data.weight / (data.weight.mean() or 1.0)
    codes = [range(s.start, s.stop) for s in parts if s.output.role is Role.CODE]
    return Problem(x, tuple(table.T.copy()), weight, tuple(c for block in codes for c in block))


def rows_per_leaf(rows: int) -> int:
    """How many rows a leaf has at least, where that is not set."""
    return min(20, max(5, rows // 20))


def parameters(target: Target, data: Problem, seed: int) -> dict[str, Any]:
    """What the data decides; the learner's settings are put over it."""
    n, columns = data.x.shape
    objective, metric = "regression", "rmse"
    if target.kind in (Kind.CATEGORY, Kind.LABELS):
        objective, metric = "binary", "binary_logloss"
    if target.kind is Kind.CATEGORY and target.width != 2:
        objective, metric = "multiclass", "multi_logloss"
    return {
        "objective": objective,
        "metric": metric,
        **({"num_class": target.width} if objective == "multiclass" else {}),
        "num_threads": 1 if n * columns < _ONE_THREAD else openmp.threads(),
        "min_data_in_leaf": rows_per_leaf(n),
        "min_data_per_group": min(100, max(5, n // 100)),
        "seed": seed % (1 << 31),
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }


def boost(
    data: Problem,
    which: int,
    settings: dict[str, Any],
    rounds: int,
    watch: Watch,
    held: Problem | None = None,
) -> Boosting:
    """One model's trees: all rounds, or up to the one that predicted the held-out rows best."""
    lightgbm = openmp.load("lightgbm", "The boosted learner")
    dataset = _dataset(lightgbm, data, which, settings)
    callbacks = [_watcher(lightgbm, watch)]
    sets = []
    if held is not None:
        sets = [_dataset(lightgbm, held, which, settings, dataset)]
        callbacks.append(_patience(lightgbm, settings))
    settings = {k: v for k, v in settings.items() if k != "patience"}
    found = lightgbm.train(settings, dataset, rounds, valid_sets=sets, callbacks=callbacks)
    best = found.best_iteration if found.best_iteration > 0 else None
    text = found.model_to_string(num_iteration=best)
    gains = np.asarray(found.feature_importance("gain", iteration=best), np.float64)
    return Boosting(trees.parse(text, data.x.shape[1]), gains)


def boost_folds(
    data: Problem, which: int, settings: dict[str, Any], rounds: int, watch: Watch, parts: Sequence[Fold]
) -> tuple[NDArray[np.float64], int]:
    """Raw scores of each fold's held rows, all after the one number of rounds that does best over them.

    Without patience all rounds are done, and count.
    """
    lightgbm = openmp.load("lightgbm", "The boosted learner")
    dataset = _dataset(lightgbm, data, which, settings)
    callbacks = [_watcher(lightgbm, watch)]
    if settings["patience"]:
        callbacks.append(_patience(lightgbm, settings))
    settings = {k: v for k, v in settings.items() if k != "patience"}
    found = lightgbm.cv(
        settings, dataset, rounds, folds=list(parts), callbacks=callbacks, return_cvbooster=True
    )["cvbooster"]
    best = found.best_iteration if found.best_iteration > 0 else rounds
    threads = settings["num_threads"]
    raw = [
        booster.predict(data.x[part.held], num_iteration=best, raw_score=True, num_threads=threads)
        for booster, part in zip(found.boosters, parts, strict=True)
    ]
    scores = np.concatenate(raw)
    return scores.reshape(len(scores), -1), best


def _dataset(lightgbm: Any, data: Problem, which: int, settings: dict[str, Any], like: Any = None) -> Any:
    return lightgbm.Dataset(
        data.x,
        data.truths[which],
        weight=data.weight,
        categorical_feature=list(data.codes),
        reference=like,
        params={k: v for k, v in settings.items() if k in ("num_threads", "verbosity", "min_data_in_leaf")},
        free_raw_data=False,
    )


def _patience(lightgbm: Any, settings: dict[str, Any]) -> Any:
    return lightgbm.early_stopping(settings["patience"], first_metric_only=True, verbose=False)


def _watcher(lightgbm: Any, watch: Watch) -> Any:
    """LightGBM's callback that asks ``watch``; it runs before the one that stops early."""

    def callback(env: Any) -> None:
        results = env.evaluation_result_list
        if watch(env.iteration + 1, float(results[0][2]) if results else float("nan")):
            raise lightgbm.callback.EarlyStopException(env.iteration, results)

    callback.order = 20  # type: ignore[attr-defined]  # how LightGBM sorts its callbacks
    return callback
