"""Penalised linear and logistic regression by scikit-learn, as plain coefficients.

Legend: n rows, D columns, m raw scores per row. The penalty is scikit-learn's ``alpha`` of Ridge, and
``1 / C`` of LogisticRegression.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orrery.features.target import Target
from orrery.learners import openmp
from orrery.learners.links import raw_width
from orrery.schema import Kind

Weights = NDArray[np.float64]

_NEWTON_COLUMNS = 300  # up to so many coefficients Newton's method is quicker than L-BFGS, and exact
_SMALL = 10_000_000  # values in a matrix that one thread multiplies with a vector in milliseconds
_NEVER = -30.0  # the log-odds of a class that no row has


class Coefficients(NamedTuple):
    """Raw scores are ``x @ weights + bias``."""

    weights: Weights  # [D, m]
    bias: Weights  # [m]


class Limits(NamedTuple):
    """When a solver may stop."""

    iterations: int = 1000
    tolerance: float = 1e-6


def solve(
    target: Target,
    x: Any,
    truth: NDArray[Any],
    weight: Weights | None,
    alpha: float,
    limits: Limits,
    start: Coefficients | None = None,
) -> Coefficients:
    """Coefficients for a target of any kind; ``start`` are those of a similar problem, to begin from."""
    with _threads(x):
        return _solve(target, x, truth, weight, alpha, limits, start)


def _solve(
    target: Target,
    x: Any,
    truth: NDArray[Any],
    weight: Weights | None,
    alpha: float,
    limits: Limits,
    start: Coefficients | None,
) -> Coefficients:
    if weight is not None and not weight.any():
        weight = None  # of rows that all count for nothing, no one is preferred
    if target.kind in (Kind.NUMBER, Kind.VECTOR):
        return _ridge(x, truth.reshape(len(truth), -1), weight, alpha, limits)
    if target.kind is Kind.CATEGORY:
        return _logistic(x, truth, weight, alpha, limits, raw_width(target), start)
    each = [
        _logistic(x, truth[:, i].astype(np.int64), weight, alpha, limits, 1, _part(start, i))
        for i in range(truth.shape[1])
    ]
    return Coefficients(np.hstack([c.weights for c in each]), np.concatenate([c.bias for c in each]))


def _threads(x: Any) -> AbstractContextManager[Any]:
    """One thread for products of small matrices: OpenBLAS's threads spin while they wait for each other.

    On a machine whose cores are shared that took fifty times as long.
    """
    small = x.shape[0] * x.shape[1] <= _SMALL
    limited: AbstractContextManager[Any] = _blas().limit(limits=1 if small else None, user_api="blas")
    return limited


@cache
def _blas() -> Any:
    openmp.load("sklearn.linear_model", "The linear learner")  # the libraries to be found have to be loaded
    return openmp.load("threadpoolctl", "The linear learner").ThreadpoolController()


def _part(start: Coefficients | None, i: int) -> Coefficients | None:
    return start and Coefficients(start.weights[:, i : i + 1], start.bias[i : i + 1])


def _ridge(x: Any, truth: Weights, weight: Weights | None, alpha: float, limits: Limits) -> Coefficients:
    linear_model = openmp.load("sklearn.linear_model", "The linear learner")
    scale = truth.std(axis=0)  # the iterative solvers' tolerance is absolute
    scale[scale == 0] = 1.0
    middle = truth.mean(axis=0)
    model = linear_model.Ridge(alpha=alpha, tol=limits.tolerance, max_iter=limits.iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ill-conditioned matrices: the penalty takes care of them
        model.fit(x, (truth - middle) / scale, sample_weight=weight)
    weights = np.atleast_2d(model.coef_).T * scale
    return Coefficients(weights, np.atleast_1d(model.intercept_) * scale + middle)


def _logistic(
    x: Any,
    truth: NDArray[np.int64],
    weight: Weights | None,
    alpha: float,
    limits: Limits,
    scores: int,
    start: Coefficients | None,
) -> Coefficients:
    counts = np.bincount(truth, weights=weight, minlength=max(scores, 2)).astype(np.float64)
    present = np.flatnonzero(np.bincount(truth, minlength=max(scores, 2)))
    if len(present) < 2:
        return _prior(x.shape[1], counts, scores)
    whole = len(present) == len(counts)
    model = _model(x, alpha, limits, scores, start if whole else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of not having converged: cross-validation judges the result
        model.fit(x, truth, sample_weight=weight)
    if whole:
        return Coefficients(model.coef_.T.copy(), model.intercept_.copy())
    return _spread(model, present, scores)


def _model(x: Any, alpha: float, limits: Limits, scores: int, start: Coefficients | None) -> Any:
    linear_model = openmp.load("sklearn.linear_model", "The linear learner")
    newton = x.shape[1] * scores <= min(_NEWTON_COLUMNS, x.shape[0])
    model = linear_model.LogisticRegression(
        C=1.0 / alpha,
        solver="newton-cholesky" if newton else "lbfgs",
        tol=limits.tolerance,
        max_iter=limits.iterations,
        warm_start=start is not None,
    )
    if start is not None:
        model.coef_, model.intercept_ = start.weights.T.copy(), start.bias.copy()
        model.classes_ = np.arange(max(scores, 2))
    return model


def _prior(columns: int, counts: Weights, scores: int) -> Coefficients:
    """No more than how often each class occurs, for rows of one class only."""
    logs = np.log(counts + 0.5)
    bias = logs[1:] - logs[:1] if scores == 1 else logs - logs.mean()
    return Coefficients(np.zeros((columns, scores)), bias)


def _spread(model: Any, present: NDArray[np.int64], scores: int) -> Coefficients:
    """Coefficients for all of several classes, of which some had no rows (never so with two)."""
    weights = np.zeros((model.coef_.shape[1], scores))
    bias = np.full(scores, _NEVER)
    coef, intercept = model.coef_, model.intercept_
    if len(present) == 2:  # scikit-learn gives the log-odds of the second
        coef, intercept = np.vstack((-coef, coef)) / 2, np.concatenate((-intercept, intercept)) / 2
    weights[:, present], bias[present] = coef.T, intercept
    return Coefficients(weights, bias)
