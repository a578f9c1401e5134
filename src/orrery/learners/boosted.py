"""Gradient-boosted trees (LightGBM): the learner to beat on larger tables, and where effects are not linear.

Legend: n rows, D columns, m raw scores per row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from orrery.data.profile import Profile
from orrery.features.feature import Feature
from orrery.features.target import Target
from orrery.learners import defaults, matrix
from orrery.learners.boosted_predictor import BoostedPredictor as BoostedPredictor
from orrery.learners.boosting import (
    Boosting,
    Problem,
    Watch,
    boost,
    boost_folds,
    parameters,
    problem,
    rows_per_leaf,
)
from orrery.learners.crossfit import CrossFit, never
from orrery.learners.folds import Fold, folds, held_rows, sample
from orrery.learners.learner import Learner
from orrery.learners.links import link, loss
from orrery.schema import Schema
from orrery.training.events import Ended, Observer, Started, Step
from orrery.training.feed import Feed
from orrery.training.world import World

_CV_ROWS = 100_000
_FEW_COLUMNS = 10
_FEW_ROWS = 2_000
_SLOW_ROWS = 50_000  # up to so many rows, smaller steps cost little


class Boosted(Learner):
    """Boosted trees for classes, labels, numbers and vectors; missing numbers and categories as they are.

    >>> Boosted(rounds=100).to_dict()["rounds"]
    100
    """

    kind: Literal["boosted"] = "boosted"
    rounds: int | tuple[int, ...] | None = None
    """Trees per score, or one count per label or number of a vector. None: as many as help rows held out."""
    most_rounds: int = Field(default=1000, ge=1)
    patience: int = Field(default=50, ge=1)
    """Rounds without a gain on held-out rows, after which to stop."""
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    """How much of each tree counts. None: 0.05, and 0.1 where rows are many."""
    leaves: int = Field(default=31, ge=2, le=4096)
    """Of one tree, at most."""
    rows_per_leaf: int | None = Field(default=None, ge=1)
    """At least so many. None: 20, and less where rows are few."""
    column_share: float | None = Field(default=None, gt=0, le=1)
    """Of the columns, drawn anew for each tree. None: 0.8, and all where columns are few."""
    random_splits: bool | None = None
    """One random threshold per column instead of the best (extremely randomised trees, Geurts et al. 2006):
    steadier where rows are few. None: up to 2,000 rows."""
    l2: float = Field(default=1.0, ge=0)
    """Penalty on the leaves' values."""
    memory_bytes: int = Field(default=2 << 30, ge=1 << 20)
    """The matrix may take so much; beyond, a sample of the rows is learnt from, and the notes say so."""

    holds_out: ClassVar[bool] = False

    def features(self, schema: Schema, profile: Profile, target: Target) -> tuple[Feature, ...]:
        """Plain numbers, codes, TF-IDF, parts of dates; many categories by target means."""
        return defaults.boosted(schema, profile, target)

    def filled(self, rows: int, features: Sequence[Feature]) -> Self:
        """With what the rows decide; ``rounds`` and ``column_share`` wait for the encoded columns."""
        found = {
            "learning_rate": self.learning_rate or _learning_rate(rows),
            "rows_per_leaf": self.rows_per_leaf or rows_per_leaf(rows),
            "random_splits": rows <= _FEW_ROWS if self.random_splits is None else self.random_splits,
        }
        return self.replace(**found)

    def fit(self, feed: Feed, world: World, observe: Observer) -> BoostedPredictor:
        """Learn from all rows; how many rounds is set, or decided by held-out rows or by folds."""
        observe(Started("boosted", feed.rows, 0))
        part, told = _rows_that_fit(feed, self.memory_bytes, world.seed)
        settled, notes = self._settle(part, world)
        watch = _Watch(observe)
        models = settled._models(part, world.seed, watch)
        columns = matrix.spans(feed.outputs, one_hot=False)
        predictor = BoostedPredictor.of(feed.target, columns, models)
        rounds = _listed([len(m.trees) // predictor.per_model for m in models])
        notes = [*notes, f"boosted: {rounds} rounds on {part.rows:,} rows", *told]
        observe(Ended("stopped by observer" if watch.stopped else "finished", watch.step, notes=notes))
        return predictor

    def _settle(self, feed: Feed, world: World) -> tuple[Boosted, list[str]]:
        """With the number of rounds, unless held-out rows will decide it; and how it was found."""
        some = sample(feed, _CV_ROWS, world.seed)
        parts = folds(some, world.seed) if self.rounds is None and feed.validation is None else []
        if not parts:
            return self, []
        tried = self.cross_fit(some, parts, world)
        return tried.learner, [tried.told(feed.target)]

    def cross_fit(
        self, feed: Feed, parts: Sequence[Fold], world: World, late: Callable[[], bool] = never
    ) -> CrossFit[Boosted]:
        """Predict each fold's held rows by what the others taught, after as many rounds as do it best."""
        data, rows, everything = problem(feed), held_rows(parts), feed.all()
        settings = self._parameters(feed.target, data, world.seed)
        settings["patience"] = self.patience if self.rounds is None else 0
        found = [
            boost_folds(data, which, settings, self._rounds(which), lambda _step, _loss: late(), parts)
            for which in range(len(data.truths))
        ]
        scores = link(feed.target, np.hstack([raw for raw, _ in found]))
        weight = None if everything.weight is None else everything.weight[rows]
        value = loss(feed.target, everything.target[rows], scores, weight)
        rounds, random = tuple(best for _, best in found), bool(settings["extra_trees"])
        settled = self.replace(rounds=rounds[0] if len(rounds) == 1 else rounds, random_splits=random)
        name = "boosted with random splits" if random else "boosted"
        return CrossFit(name, settled, scores, value, f"{_listed(rounds)} rounds")

    def _models(self, feed: Feed, seed: int, watch: Watch) -> list[Boosting]:
        data = problem(feed)
        held = problem(feed.validation) if self.rounds is None and feed.validation is not None else None
        settings = self._parameters(feed.target, data, seed)
        return [
            boost(data, which, settings, self._rounds(which), watch, held)
            for which in range(len(data.truths))
        ]

    def _rounds(self, which: int) -> int:
        if isinstance(self.rounds, tuple):
            return self.rounds[min(which, len(self.rounds) - 1)]
        return self.rounds or self.most_rounds

    def _parameters(self, target: Target, data: Problem, seed: int) -> dict[str, Any]:
        found = parameters(target, data, seed)
        found |= {
            "learning_rate": self.learning_rate or _learning_rate(data.x.shape[0]),
            "num_leaves": self.leaves,
            "feature_fraction": self.column_share or (1.0 if data.x.shape[1] <= _FEW_COLUMNS else 0.8),
            "lambda_l2": self.l2,
            "extra_trees": data.x.shape[0] <= _FEW_ROWS if self.random_splits is None else self.random_splits,
            "patience": self.patience,
        }
        return found | ({"min_data_in_leaf": self.rows_per_leaf} if self.rows_per_leaf else {})


class _Watch:
    """Passes each round on to the observer, and remembers whether it said stop."""

    def __init__(self, observe: Observer) -> None:
        self.observe = observe
        self.step = 0
        self.stopped = False

    def __call__(self, step: int, value: float) -> bool:
        self.step += 1
        self.stopped = self.stopped or self.observe(Step(self.step, 0, value)) == "stop"
        return self.stopped


def _learning_rate(rows: int) -> float:
    return 0.05 if rows <= _SLOW_ROWS else 0.1


def _listed(rounds: Sequence[int]) -> str:
    """One number, or the range of several."""
    low, high = min(rounds), max(rounds)
    return str(low) if low == high else f"{low} to {high}"


def _rows_that_fit(feed: Feed, memory_bytes: int, seed: int) -> tuple[Feed, list[str]]:
    """The rows to learn from; a line says so where not all fit."""
    parts = matrix.spans(feed.outputs, one_hot=False)
    blocks = feed.all().blocks
    need = min(matrix.size_bytes(parts, blocks, dense=dense) for dense in (True, False))
    if need <= memory_bytes:
        return feed, []
    some = sample(feed, max(1, int(feed.rows * memory_bytes / need)), seed)
    return some, [f"boosted: learnt from {some.rows:,} of {feed.rows:,} rows, to stay in memory"]
