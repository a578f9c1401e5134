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
from orrery.learners.links import SMALLEST, Scores, losses
from orrery.schema import Kind

LEAST = 0.05
"""A member that counts less is left out: it would cost time in every prediction."""


def choose(
    target: Target, truth: NDArray[Any], members: Sequence[Scores], weight: Scores | None = None
) -> Scores:
    """Weights [j], none negative, that add up to 1: of the best blend, or of the best member alone.

    A blend has to beat its best member by more than one standard error of the difference: what looks
    better by chance is not worth the time it takes to answer.
    """
    alone = [losses(target, truth, scores) for scores in members]
    best = int(np.argmin([np.average(one, weights=weight) for one in alone]))
    single = np.eye(len(members))[best]
    blended = _without_small(target, truth, members, weight)
    gain = alone[best] - losses(target, truth, mix(members, blended))
    mean = float(np.average(gain, weights=weight))
    share = np.full(len(gain), 1 / len(gain)) if weight is None else weight / weight.sum()
    error = float(np.sqrt((share**2 * (gain - mean) ** 2).sum()))
    return blended if mean > error else single


def mix(members: Sequence[Scores], weights: Scores) -> Scores:
    """The weighted answers [n, k]."""
    return np.asarray(sum(w * m for w, m in zip(weights, members, strict=True) if w), np.float64)


def _without_small(
    target: Target, truth: NDArray[Any], members: Sequence[Scores], weight: Scores | None
) -> Scores:
    keep = list(range(len(members)))
    while True:
        found = best_weights(target, truth, [members[i] for i in keep], weight)
        small = [i for i, w in zip(keep, found, strict=True) if w < LEAST]
        if not small:
            out = np.zeros(len(members))
            out[keep] = found
            return out
        keep = [i for i in keep if i not in small]


def best_weights(
    target: Target, truth: NDArray[Any], members: Sequence[Scores], weight: Scores | None = None
) -> Scores:
    """Weights [j] with the least log loss or squared error on these rows."""
    rows = np.ones(len(truth)) if weight is None else weight
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
    found, least = np.eye(len(errors))[int(np.argmin(np.diag(products)))], float(np.diag(products).min())
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
