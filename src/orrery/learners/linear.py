"""Linear and logistic regression: the learner to beat where rows are few, and the quickest to answer.

Legend: n rows, D columns, m raw scores per row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orrery.data.profile import Profile
from orrery.features.feature import Feature, Role
from orrery.features.target import Target
from orrery.learners import defaults, matrix
from orrery.learners.crossfit import CrossFit, never
from orrery.learners.folds import Fold, folds, held_rows, sample
from orrery.learners.learner import Learner
from orrery.learners.linear_predictor import LinearPredictor as LinearPredictor
from orrery.learners.links import link, loss
from orrery.learners.solvers import Coefficients, Limits, solve
from orrery.schema import Schema
from orrery.training.blocks import Batch
from orrery.training.events import Ended, Observer, Started
from orrery.training.feed import Feed
from orrery.training.world import World

ALPHAS = tuple(10.0 ** (power / 2) for power in range(8, -9, -1))
"""The penalties tried where none is set: 10,000 down to 0.0001, until the held-out loss rises.
Of large problems every other one."""

_PATIENCE = 2  # weaker penalties in a row that made the held-out loss worse
_QUICK = Limits(iterations=100, tolerance=1e-4)  # while penalties are compared
_CV_ROWS = 20_000
_LARGE = 500_000  # values times answers
_DENSE_BYTES = 16 << 20


class _Design(NamedTuple):
    """The matrix [n, D], dense or sparse, and what was done to its columns."""

    x: Any
    mean: NDArray[np.float64]  # [D]
    scale: NDArray[np.float64]  # [D]


class Linear(Learner):
    """Logistic regression for classes and labels, ridge regression for numbers and vectors.

    >>> Linear(alpha=1.0).to_dict()["alpha"]
    1.0
    """

    kind: Literal["linear"] = "linear"
    alpha: float | None = Field(default=None, gt=0)
    """Weight of the L2 penalty: scikit-learn's ``alpha`` of Ridge, ``1 / C`` of LogisticRegression.
    None tries several by cross-validation."""
    standardise: bool = True
    """Bring columns of numbers to mean 0 and deviation 1 first, so that the penalty treats them alike."""
    max_iterations: int = Field(default=1000, ge=1)
    memory_bytes: int = Field(default=2 << 30, ge=1 << 20)
    """The matrix may take so much; beyond, a sample of the rows is learnt from, and the notes say so."""

    holds_out: ClassVar[bool] = False

    def features(self, schema: Schema, profile: Profile, target: Target) -> tuple[Feature, ...]:
        """Standardised numbers, codes, TF-IDF, parts of dates; many categories also by target means."""
        return defaults.linear(schema, profile, target)

    def fit(self, feed: Feed, world: World, observe: Observer) -> LinearPredictor:
        """Learn from all rows, with the penalty that was set or that cross-validation chooses."""
        observe(Started("linear", feed.rows, 0))
        part, told = _rows_that_fit(feed, self.memory_bytes, world.seed)
        alpha, notes = self._settle(part, world)
        design, data = self._design(part), part.all()
        limits = Limits(self.max_iterations)
        found = solve(feed.target, design.x, data.target, data.weight, alpha, limits)
        parts = matrix.spans(feed.outputs, one_hot=True)
        observe(Ended("finished", 0, notes=(*notes, *told)))
        return LinearPredictor(feed.target, parts, found, design.mean, design.scale, alpha)

    def _settle(self, feed: Feed, world: World) -> tuple[float, list[str]]:
        """The penalty, and how it was found."""
        if self.alpha is not None:
            return self.alpha, []
        some = sample(feed, _CV_ROWS, world.seed)
        parts = folds(some, world.seed)
        if not parts:
            return 1.0, ["linear: alpha 1, too few rows to compare penalties"]
        tried = self.cross_fit(some, parts, world)
        return tried.learner.alpha or 1.0, [tried.told(feed.target)]

    def cross_fit(
        self,
        feed: Feed,
        parts: Sequence[Fold],
        world: World,
        late: Callable[[], bool] = never,
    ) -> CrossFit[Linear]:
        """Predict each fold's held rows by what the others taught, with the penalty that does it best."""
        rows, design, data = held_rows(parts), self._design(feed), feed.all()
        truth = data.target[rows]
        weight = None if data.weight is None else data.weight[rows]
        best, best_scores, least, worse = 1.0, np.empty(0), math.inf, 0
        found: list[Coefficients] = []
        large = design.x.shape[0] * design.x.shape[1] * feed.target.width > _LARGE
        for alpha in (self.alpha,) if self.alpha else _alphas(data.weight, 2 if large else 1):
            found = _solve_folds(feed.target, design.x, data, parts, alpha, found)
            held = [design.x[p.held] @ c.weights + c.bias for p, c in zip(parts, found, strict=True)]
            scores = link(feed.target, np.concatenate(held))
            value = loss(feed.target, truth, scores, weight)
            if value < least:
                best, best_scores, least, worse = alpha, scores, value, 0
            worse += value > least
            if worse >= _PATIENCE or late():
                break
        return CrossFit("linear", self.replace(alpha=best), best_scores, least, f"alpha {best:.3g}")

    def _design(self, feed: Feed) -> _Design:
        parts = matrix.spans(feed.outputs, one_hot=True)
        blocks = feed.all().blocks
        mean, scale = np.zeros(matrix.width(parts)), np.ones(matrix.width(parts))
        prepared = dict(blocks)
        for span in parts:
            if span.output.role not in (Role.NUMBER, Role.TENSOR):
                continue
            values = np.asarray(blocks[span.output.name], np.float64).reshape(feed.rows, -1)
            values = np.where(np.isfinite(values), values, np.nan)
            mean[span.columns], scale[span.columns] = _moments(values, self.standardise)
            with np.errstate(over="ignore"):  # of numbers near the largest there are
                values -= mean[span.columns]
                values /= scale[span.columns]
            np.nan_to_num(values, copy=False)
            prepared[span.output.name] = values
        if all(span.output.role in (Role.NUMBER, Role.TENSOR) for span in parts):
            x = np.hstack([prepared[s.output.name] for s in parts]) if parts else np.zeros((feed.rows, 0))
            return _Design(x, mean, scale)
        x = matrix.sparse(parts, prepared, one_hot=True)
        small = 8 * x.shape[0] * x.shape[1] <= _DENSE_BYTES  # dense is quicker, where it can be afforded
        return _Design(x.toarray() if small else x, mean, scale)


def _moments(values: NDArray[np.float64], standardise: bool) -> tuple[Any, Any]:
    """Mean and deviation of each column's present values; what is missing will be the mean."""
    present = np.isfinite(values)
    count = np.maximum(present.sum(axis=0), 1)
    known = np.where(present, values, 0.0)
    unit = np.abs(known).max(axis=0, initial=0.0)
    unit[unit == 0] = 1.0  # sums and squares of numbers up to 1 do not overflow
    known /= unit
    mean = known.sum(axis=0) / count
    spread = np.sqrt((np.where(present, known - mean, 0.0) ** 2).sum(axis=0) / count)
    constant = spread <= 1e-12 * np.abs(mean)  # up to rounding
    plain = constant | (spread * unit == 0) | (not standardise)
    return mean * unit, np.where(plain, 1.0, spread * unit)


def _alphas(weight: NDArray[np.float64] | None, step: int) -> list[float]:
    """Penalties are relative to the weight of a row: weights of another scale change nothing."""
    unit = 1.0 if weight is None else float(weight.mean()) or 1.0
    return [alpha * unit for alpha in ALPHAS[::step]]


def _solve_folds(
    target: Target, x: Any, data: Batch, parts: Sequence[Fold], alpha: float, before: Sequence[Coefficients]
) -> list[Coefficients]:
    """Each fold's coefficients; those of the penalty before are where to begin."""
    made = []
    for i, (train, _) in enumerate(parts):
        weight = None if data.weight is None else data.weight[train]
        start = before[i] if before else None
        made.append(solve(target, x[train], data.target[train], weight, alpha, _QUICK, start))
    return made


def _rows_that_fit(feed: Feed, memory_bytes: int, seed: int) -> tuple[Feed, list[str]]:
    """The rows to learn from; a line says so where not all fit."""
    parts = matrix.spans(feed.outputs, one_hot=True)
    dense = all(span.output.role in (Role.NUMBER, Role.TENSOR) for span in parts)
    need = matrix.size_bytes(parts, feed.all().blocks, dense=dense)
    if need <= memory_bytes:
        return feed, []
    some = sample(feed, max(1, int(feed.rows * memory_bytes / need)), seed)
    return some, [f"linear: learnt from {some.rows:,} of {feed.rows:,} rows, to stay in memory"]
