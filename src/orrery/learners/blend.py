"""Weights of a blend: how much each member's answer counts, decided on rows that none of them had seen.

Legend: n rows, k answers per row, j members.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.features.target import Target
from orrery.learners.links import SMALLEST, Scores
from orrery.schema import Kind

LEAST = 0.03
"""A member that counts less is left out: it would cost time in every prediction."""
PRIOR = 20
"""How many rows' worth of evidence there is for equal weights: on few rows, mixing is the safer guess."""


def choose(
    target: Target, truth: NDArray[Any], members: Sequence[Scores], weight: Scores | None = None
) -> Scores:
    """Weights [j], none negative, that add up to 1: the best on these rows, drawn a little to equal ones."""
    keep = list(range(len(members)))
    while True:
        found = best_weights(target, truth, [members[i] for i in keep], weight)
        drawn = (found * len(truth) + PRIOR / len(keep)) / (len(truth) + PRIOR)
        small = [i for i, w in zip(keep, drawn, strict=True) if w < LEAST]
        if not small:
            out = np.zeros(len(members))
            out[keep] = drawn
            return out
        keep = [i for i in keep if i not in small]


def mix(members: Sequence[Scores], weights: Scores) -> Scores:
    """The weighted answers [n, k]."""
    return np.asarray(sum(w * m for w, m in zip(weights, members, strict=True) if w), np.float64)


def best_weights(
    target: Target, truth: NDArray[Any], members: Sequence[Scores], weight: Scores | None = None
) -> Scores:
    """Weights [j] with the least log loss or squared error on these rows."""
    rows = np.ones(len(truth)) if weight is None or not weight.any() else weight
    if target.kind is Kind.CATEGORY:
        chosen = np.stack([m[np.arange(len(truth)), truth] for m in members])
        return _likeliest(chosen, rows)
    table = truth.reshape(len(truth), -1).astype(np.float64)
    if target.kind is Kind.LABELS:
        chosen = np.stack([np.where(table > 0, m, 1 - m).ravel() for m in members])
        return _likeliest(chosen, np.repeat(rows, table.shape[1]))
    root = np.sqrt(np.repeat(rows, table.shape[1]))
    return _closest(np.stack([(m - table).ravel() * root for m in members]))


def _likeliest(chosen: Scores, rows: Scores) -> Scores:
    """The mixture [j] that makes what happened likeliest, by expectation maximisation.

    ``chosen`` [j, n] are the probabilities that each member gave to it. The likelihood is concave in the
    weights, so there is one best mixture (Dempster, Laird and Rubin 1977).
    """
    chosen = np.maximum(chosen, SMALLEST)
    weights = np.full(len(chosen), 1 / len(chosen))
    for _ in range(500):
        parts = weights[:, None] * chosen
        after = (parts / parts.sum(axis=0)) @ rows / rows.sum()
        if np.abs(after - weights).max() < 1e-6:
            break
        weights = after
    return np.asarray(weights / weights.sum(), np.float64)


def _closest(errors: Scores) -> Scores:
    """The weights [j] with the least squared sum of ``errors`` [j, n]: the best of each subset's best."""
    products = errors @ errors.T
    squares = np.diag(products)
    found: Scores = np.eye(len(errors))[int(np.argmin(squares))]
    least = float(squares.min())
    for size in range(2, len(errors) + 1):
        for subset in combinations(range(len(errors)), size):
            part = products[np.ix_(subset, subset)]
            some = np.linalg.lstsq(part, np.ones(size), rcond=None)[0]  # Lagrange: equal slopes
            if not some.sum() > 0 or (some < 0).any():
                continue
            some = some / some.sum()
            if (value := float(some @ part @ some)) < least:
                found, least = np.zeros(len(errors)), value
                found[list(subset)] = some
    return found
