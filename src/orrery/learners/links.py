"""From raw scores to answers, and how good answers are: the same for linear models and trees.

Legend: n rows, m raw scores per row, k classes, labels or numbers to predict.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.features.target import Target
from orrery.schema import Kind

Scores = NDArray[np.float64]

SMALLEST = 1e-15  # a probability of zero for what happened would cost infinitely much


def raw_width(target: Target) -> int:
    """Raw scores per row: two classes need one, the log-odds of the second."""
    return 1 if target.kind is Kind.CATEGORY and target.width == 2 else target.width


def link(target: Target, raw: Scores) -> Scores:
    """Answers [n, k] from raw scores [n, m]: probabilities for CATEGORY and LABELS, else the scores.

    >>> two = Target(name="y", kind=Kind.CATEGORY, type="string", labels=("no", "yes"), width=2)
    >>> link(two, np.array([[0.0], [1000.0]])).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    if target.kind is Kind.LABELS:
        return sigmoid(raw)
    if target.kind is not Kind.CATEGORY:
        return raw
    if raw.shape[1] == 1:
        yes = sigmoid(raw)
        return np.concatenate((1.0 - yes, yes), axis=1)
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def sigmoid(raw: Scores) -> Scores:
    """Log-odds as probabilities; the bound keeps ``exp`` from overflowing."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.maximum(raw, -700.0))), np.float64)


def loss_name(target: Target) -> str:
    """What :func:`loss` measures: less is better."""
    return "log_loss" if target.kind in (Kind.CATEGORY, Kind.LABELS) else "rmse"


def loss(target: Target, truth: NDArray[Any], scores: Scores, weight: Scores | None = None) -> float:
    """Log loss (CATEGORY; mean over labels for LABELS) or root mean squared error, rows weighted."""
    if weight is not None and not weight.any():
        weight = None
    mean = float(np.average(losses(target, truth, scores), weights=weight))
    return mean if loss_name(target) == "log_loss" else mean**0.5


def losses(target: Target, truth: NDArray[Any], scores: Scores) -> Scores:
    """Each row's log loss or mean squared error [n]."""
    if target.kind is Kind.CATEGORY:
        chosen = scores[np.arange(len(truth)), truth]
        return np.asarray(-np.log(np.maximum(chosen, SMALLEST)), np.float64)
    table = truth.reshape(len(truth), -1)
    if target.kind is Kind.LABELS:
        chosen = np.where(table > 0, scores, 1.0 - scores)
        return np.asarray(-np.log(np.maximum(chosen, SMALLEST)).mean(axis=1), np.float64)
    return np.asarray(((table - scores) ** 2).mean(axis=1), np.float64)
